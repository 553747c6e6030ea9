"""Documents of SPDX 2.3 in JSON (https://spdx.github.io/spdx-spec/v2.3/): what something consists of. Pure.

The same values give the same bytes; `tests/infra/spdx-schema.json` is the format's own schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from infra.core.derivation import Json

MEDIA_TYPE: Final = "application/spdx+json"
_NAMESPACE: Final = "https://pollex.invalid/spdx"
"""Begins the documents' names, which must be URIs and need not lead anywhere (RFC 2606)."""

_PUBLIC: Final = re.compile(r"[\w+]+://([\w-]+\.)+[a-z]{2,}(:\d+)?/")


def document(
    name: str, key: str, packages: Sequence[dict[str, Json]], relations: Sequence[Json], *, epoch: int = 0
) -> dict[str, Json]:
    """A document about the first of the packages.

    Args:
        name: what it is about, for people.
        key: what it is about, by everything that decides it: names the document.
        packages: as `package` makes them.
        relations: as `relation` makes them.
        epoch: its time, seconds since 1970; 0 where nothing that decides it has one.
    """
    about = str(packages[0]["SPDXID"])
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"{_NAMESPACE}/{key}",
        "creationInfo": {
            "created": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: pollex"],
        },
        "packages": list(packages),
        "relationships": [relation("DOCUMENT", "DESCRIBES", about.removeprefix("SPDXRef-")), *relations],
    }


def package(
    ident: str, name: str, version: str | None = None, location: str = "", *, purl: str = "", **more: Json
) -> dict[str, Json]:
    """A part.

    Args:
        ident: its name in relations.
        name: as its makers call it.
        version: None where it is not declared, but the host's own.
        location: where it comes from, a URL; anything else says nothing, nor does an address that is none elsewhere.
        purl: its name for programs that look for vulnerabilities (https://github.com/package-url/purl-spec).
        more: further fields, as SPDX names them.
    """
    reference: Json = {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl,
    }
    return {
        "SPDXID": f"SPDXRef-{_ident(ident)}",
        "name": name,
        **({} if version is None else {"versionInfo": version}),
        "downloadLocation": location if _PUBLIC.match(location) else "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        **({"externalRefs": [reference]} if purl else {}),
        **more,
    }


def sha256(digest: str) -> Json:
    """A part's checksums, as `checksums` takes them."""
    return [{"algorithm": "SHA256", "checksumValue": digest}]


def debian(name: str, version: str | None = None) -> dict[str, Json]:
    """A Debian package; None for the version that the host has, or gets when it is prepared."""
    return package(f"deb-{name}", name, version, purl=deb(name, version))


def deb(name: str, version: str | None = None) -> str:
    """A Debian package for programs."""
    if version is None:
        return f"pkg:deb/debian/{quote(name, safe='')}"
    return f"pkg:deb/debian/{quote(name, safe='')}@{quote(version, safe='~')}?distro=bookworm"


def relation(one: str, kind: str, other: str) -> Json:
    """What a part is to another; both by the names that `package` was given."""
    return {
        "spdxElementId": f"SPDXRef-{_ident(one)}",
        "relationshipType": kind,
        "relatedSpdxElement": f"SPDXRef-{_ident(other)}",
    }


def text(document: dict[str, Json]) -> str:
    """A document as a file."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _ident(name: str) -> str:
    """A name in the letters that an SPDX identifier may have; `g++` and `g` stay two."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", name.replace("+", "p"))
