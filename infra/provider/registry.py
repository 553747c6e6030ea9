"""A container registry's HTTP interface, as far as publishing needs it beside what BuildKit does.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md; tokens as
https://distribution.github.io/distribution/spec/auth/token/ describes them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx

INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_DOCKER: Final = ("application/vnd.docker.distribution.manifest.list.v2+json",)
_EMPTY: Final = "application/vnd.oci.empty.v1+json"
_SECONDS: Final = 30
_HOSTS: Final = {"docker.io": "registry-1.docker.io"}
"""Registries whose interface is at another name than the one that stands before an image."""


class RegistryError(Exception):
    """A registry refused something or could not be reached; one line, without the token."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a registry holds, by content."""

    media_type: str
    digest: str
    """`sha256:…`."""
    size: int
    """In bytes."""

    @property
    def plain(self) -> dict[str, str | int]:
        """As it stands in a manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


def describe(data: bytes, media_type: str) -> Descriptor:
    """The descriptor of some bytes."""
    return Descriptor(media_type, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


class Repository:
    """One repository of a registry, for a `with` block.

    >>> with Repository("docker.io/you/llama-server", user="you", token=token) as repository:
    ...     repository.manifest("latest")
    """

    def __init__(self, name: str, *, user: str | None = None, token: str | None = None) -> None:
        """Nothing is asked yet.

        Args:
            name: registry, namespace and image, without a tag.
            user: who logs in; only with a token.
            token: the access token or password; None asks as anybody.
        """
        self.name = name
        self.registry, _, self._path = name.partition("/")
        host = _HOSTS.get(self.registry, self.registry)
        # As docker does it: a registry on this machine speaks plain HTTP.
        scheme = "http" if re.fullmatch(r"(localhost|127\.[0-9.]+)(:\d+)?", host) else "https"
        self._login = httpx.BasicAuth(user or "", token) if token is not None else None
        self._client = httpx.Client(base_url=f"{scheme}://{host}", timeout=_SECONDS, follow_redirects=True)
        self._granted: httpx.Auth | str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def manifest(self, reference: str) -> tuple[Descriptor, dict[str, Any]] | None:
        """A manifest or index by tag or digest; None when there is none.

        Raises:
            RegistryError: the registry could not be asked.
        """
        answer = self._ask("GET", f"manifests/{reference}", headers={"Accept": ", ".join((INDEX, MANIFEST, *_DOCKER))})
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        self._expect(answer, f"read {self.name}:{reference}")
        return describe(answer.content, answer.headers.get("Content-Type", MANIFEST)), answer.json()

    def labels(self, reference: str) -> dict[str, str] | None:
        """The labels of an image, of an index those of its first image; None when there is no such image."""
        found = self.manifest(reference)
        if found is None:
            return None
        content = found[1]
        if "manifests" in content:
            return self.labels(content["manifests"][0]["digest"])
        answer = self._ask("GET", f"blobs/{content['config']['digest']}")
        self._expect(answer, f"read the settings of {self.name}:{reference}")
        labels: dict[str, str] = answer.json().get("config", {}).get("Labels") or {}
        return labels

    def sizes(self, reference: str) -> dict[str, int]:
        """Platform → compressed bytes of its layers, out of an index."""
        found = self.manifest(reference)
        if found is None:
            raise RegistryError(f"{self.name} has no {reference}")
        sizes = {}
        for entry in found[1]["manifests"]:
            image = self.manifest(entry["digest"])
            if image is not None:
                platform = f"{entry['platform']['os']}/{entry['platform']['architecture']}"
                sizes[platform] = sum(layer["size"] for layer in image[1]["layers"])
        return sizes

    def check_push(self) -> None:
        """Begin an upload and take it back: only that tells whether a token may push.

        Raises:
            RegistryError: it may not.
        """
        answer = self._ask("POST", "blobs/uploads/")
        self._expect(answer, f"push to {self.name}")
        self._send("DELETE", answer.headers["Location"])

    def attach(self, subject: Descriptor, kind: str, data: bytes) -> str:
        """Store a document beside an image without changing the image, and return its manifest's digest.

        Args:
            subject: the image or index that it is about.
            kind: the document's media type.
            data: the document; the same one twice is there once.
        """
        empty = b"{}"
        self._put_blob(empty)
        self._put_blob(data)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": describe(empty, _EMPTY).plain,
            "layers": [describe(data, kind).plain],
            "subject": subject.plain,
        }
        made, answer = self._put_manifest(manifest, MANIFEST)
        if "OCI-Subject" not in answer.headers:
            self._list_referrer(subject, {**made.plain, "artifactType": kind})
        return made.digest

    def referrers(self, digest: str) -> list[dict[str, Any]]:
        """Descriptors of what is attached to an image."""
        answer = self._ask("GET", f"referrers/{digest}")
        if answer.is_success and "manifests" in answer.json():
            return list(answer.json()["manifests"])
        listed = self.manifest(_referrers_tag(digest))
        return list(listed[1]["manifests"]) if listed is not None else []

    def _list_referrer(self, subject: Descriptor, referrer: dict[str, Any]) -> None:
        """What a registry without the referrers interface asks of its clients: a list under a tag of its own."""
        others = [one for one in self.referrers(subject.digest) if one["artifactType"] != referrer["artifactType"]]
        both = sorted([*others, referrer], key=lambda one: str(one["artifactType"]))
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": both}
        self._put_manifest(index, INDEX, tag=_referrers_tag(subject.digest))

    def _put_blob(self, data: bytes) -> None:
        digest = describe(data, "").digest
        if self._ask("HEAD", f"blobs/{digest}").is_success:
            return
        begun = self._ask("POST", "blobs/uploads/")
        self._expect(begun, f"push to {self.name}")
        place = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest})
        headers = {"Content-Type": "application/octet-stream"}
        self._expect(self._send("PUT", str(place), content=data, headers=headers), f"push to {self.name}")

    def _put_manifest(
        self, manifest: Mapping[str, Any], media_type: str, *, tag: str | None = None
    ) -> tuple[Descriptor, httpx.Response]:
        data = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
        made = describe(data, media_type)
        headers = {"Content-Type": media_type}
        answer = self._ask("PUT", f"manifests/{tag or made.digest}", content=data, headers=headers)
        self._expect(answer, f"push to {self.name}")
        return made, answer

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        return self._send(method, f"/v2/{self._path}/{path}", **request)

    def _send(self, method: str, url: str, **request: Any) -> httpx.Response:
        """One request; it is repeated once with what the registry asks for, which then serves for all others."""
        headers = dict(request.pop("headers", {}))
        for _ in range(2):
            if isinstance(self._granted, str):
                headers["Authorization"] = f"Bearer {self._granted}"
            auth = self._granted if isinstance(self._granted, httpx.Auth) else None
            try:
                answer = self._client.request(method, url, headers=headers, auth=auth, **request)
            except httpx.HTTPError as error:
                raise RegistryError(f"{self.registry} cannot be reached: {error}") from None
            if answer.status_code != httpx.codes.UNAUTHORIZED or self._granted is not None:
                break
            self._granted = self._grant(answer.headers.get("WWW-Authenticate", ""))
        return answer

    def _grant(self, challenge: str) -> httpx.Auth | str | None:
        """What answers the registry's challenge: the login itself, or a token for this repository got with it."""
        if challenge.lower().startswith("basic"):
            return self._login
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if "realm" not in fields:
            return None
        wanted = {"service": fields.get("service", ""), "scope": f"repository:{self._path}:pull,push"}
        try:
            answer = self._client.get(fields["realm"], params=wanted, auth=self._login)
        except httpx.HTTPError as error:
            raise RegistryError(f"{self.registry} cannot be reached: {error}") from None
        self._expect(answer, f"log in to {self.registry}")
        said = answer.json()
        return str(said.get("token") or said.get("access_token"))

    def _expect(self, answer: httpx.Response, what: str) -> None:
        if answer.is_success:
            return
        if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise RegistryError(
                f"{self.registry} refuses to {what}: check pollex:image.user and the access token, "
                "`pollex:registryToken`, and what it may do"
            )
        raise RegistryError(f"{self.registry} failed to {what}: status {answer.status_code}, {answer.text[:200]!r}")


def _referrers_tag(digest: str) -> str:
    return digest.replace(":", "-")
