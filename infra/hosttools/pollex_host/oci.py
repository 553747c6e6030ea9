"""A cache in an OCI registry that anybody may read: a store path is a tag, its three files are layers by their titles.

That is how `oras push` puts files there (https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md).
Nothing here is believed: what was fetched is judged by its signature, wherever it came from.
"""

from __future__ import annotations

import json
import re
from typing import Callable
from urllib.parse import urlencode

from . import files
from .store import RefusedError

SCHEME = "oci://"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LIMIT = 65536
"""Bytes of a manifest, of a token and of what a registry says beside it."""
_TITLE = "org.opencontainers.image.title"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HERE = re.compile(r"(localhost|127\.[0-9.]+)(:[0-9]+)?")
_HOSTS = {"docker.io": "registry-1.docker.io"}
"""Registries whose interface is at another name than the one that stands before an image."""

Get = Callable[..., None]
"""Gets a URL into a file of at most so many bytes, with more of curl's options."""


class Registry:
    """One store path in a repository, `oci://registry/repository`, and where its files are."""

    def __init__(self, url: str, item: str, part: str, get: Get) -> None:
        """Nothing is asked yet.

        Args:
            url: of the repository.
            item: the store path, which is the tag.
            part: the beginning of names for what is fetched beside the files.
            get: as `Get`.
        """
        host, _, self._repository = url[len(SCHEME) :].rstrip("/").partition("/")
        # as docker does it: a registry on this machine speaks plain HTTP
        scheme = "http" if _HERE.fullmatch(host) else "https"
        self._base = f"{scheme}://{_HOSTS.get(host, host)}/v2/{self._repository}"
        self._item, self._part, self._get = item, part, get
        self._layers: dict[str, str] = {}
        self._login: tuple[str, ...] = ()

    def get(self, suffix: str, to: str, limit: int, *patience: str) -> None:
        """One of the files, by the end of its name.

        Raises:
            RefusedError: it cannot be had, or the registry does not say where it is.
        """
        if not self._layers:
            self._find(*patience)
        digest = self._layers.get(self._item + suffix)
        if digest is None:
            raise RefusedError(f"the tag {self._item} has no {self._item}{suffix}")
        self._get(f"{self._base}/blobs/{digest}", to, limit, *self._login, *patience)

    def _find(self, *patience: str) -> None:
        url, part, said = f"{self._base}/manifests/{self._item}", f"{self._part}.manifest", f"{self._part}.said"
        accept = ("-H", f"Accept: {MANIFEST}")
        try:
            self._log_in(url, said, *accept, *patience)
            self._get(url, part, LIMIT, *accept, *self._login, *patience)
            self._layers = _layers(files.read(part) or "")
        finally:
            files.remove(part)
            files.remove(said)

    def _log_in(self, url: str, said: str, *options: str) -> None:
        """The token that a registry gives anybody who asks for it, where it wants one."""
        # not -f: what it asks for stands in the head of a refusal
        self._get(url, said, LIMIT, "--no-fail", "-I", *options)
        fields = dict(re.findall(r'(\w+)="([^"]*)"', _challenge(files.read(said) or "")))
        if "realm" not in fields:
            return
        wanted = {"service": fields.get("service", ""), "scope": f"repository:{self._repository}:pull"}
        self._get(f"{fields['realm']}?{urlencode(wanted)}", said, LIMIT, *options)
        try:
            answer = json.loads(files.read(said) or "")
            token = answer.get("token") or answer["access_token"]
        except (ValueError, KeyError, AttributeError):
            raise RefusedError("the registry gives no token to whoever has no login") from None
        # on a command line, because what everybody is given is no secret
        self._login = ("-H", f"Authorization: Bearer {token}")


def _challenge(head: str) -> str:
    """What a registry asks for, or an empty text."""
    found = re.search(r"^www-authenticate: *bearer (.*)$", head, re.IGNORECASE | re.MULTILINE)
    return found.group(1) if found else ""


def _layers(manifest: str) -> dict[str, str]:
    """Titles and digests of a manifest's layers.

    Raises:
        RefusedError: it is none.
    """
    try:
        layers = json.loads(manifest)["layers"]
        named = {layer.get("annotations", {}).get(_TITLE): layer["digest"] for layer in layers}
    except (ValueError, KeyError, AttributeError, TypeError):
        raise RefusedError("its manifest is not one of files that `oras push` has put there") from None
    return {name: digest for name, digest in named.items() if name and _DIGEST.fullmatch(digest)}
