"""What a cache says of an archive that lies in it, and who says so. The one definition for both sides.

Beside `KEY-NAME.tar.gz` lie `KEY-NAME.json`, an entry, and `KEY-NAME.json.sig`, its signature: ECDSA on P-256 over the
SHA-256 of the entry's bytes, as DER, which is what `openssl dgst` of every host can check. The one who declares signs;
a cache only keeps.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .manifest import KEY, NAME, SHA256, At, ManifestError

if TYPE_CHECKING:
    from .manifest import Stored

ARCHIVE = ".tar.gz"
ENTRY = ".json"
SIGNATURE = ".json.sig"
LIMIT = 4096
"""Bytes of an entry, and of a signature, that are read."""


@dataclass(frozen=True)
class Entry:
    """What is signed: which store path an archive holds, and its bytes."""

    kind: str
    """That of the manifest which asks for it."""
    name: str
    key: str
    sha256: str
    """Of the archive."""
    size: int
    """Bytes of the archive."""

    def text(self) -> str:
        """As it is signed and kept: one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True) + "\n"

    def differs(self, given: Stored) -> str:
        """What of it is not what is asked for, in words; an empty text where it is the right one."""
        for what in ("kind", "name", "key"):
            if getattr(self, what) != getattr(given, what):
                return f"is one of another {what}, {getattr(self, what)!r}"
        return ""


def parse(text: str) -> Entry:
    """An entry from its text.

    Raises:
        ManifestError: it is none.
    """
    try:
        at = At(json.loads(text), "")
    except ValueError as error:
        raise ManifestError(f"is not JSON: {error}") from None
    read = Entry(
        kind=at.text("kind"),
        name=at.text("name", NAME, "a plain file name"),
        key=at.text("key", KEY, "32 hex digits"),
        sha256=at.text("sha256", SHA256, "64 hex digits"),
        size=at.number("size"),
    )
    at.end()
    return read


def pem(public_key: str) -> str:
    """A public key as openssl reads it; `public_key` is what stands between the two lines, in one line."""
    lines = ["-----BEGIN PUBLIC KEY-----", public_key[:64], public_key[64:], "-----END PUBLIC KEY-----"]
    return "\n".join(lines) + "\n"
