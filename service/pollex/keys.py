"""Keys of people: made here, kept as hashes alone, compared in a time that tells nothing."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping

NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
"""Whose a key is; stands in the log and as a label of /metrics."""
HASH = r"^sha256:[0-9a-f]{64}$"
"""How a key is kept. No salt and no slow hash, which protect words that people think of: a key made here is 256 random
bits, which nobody can try through, and a fast hash lets each request be looked at on a small board."""

_SIGN = "pollex_"
"""Before each key, so that whoever finds one knows what it opens, and programs that look for lost keys find it."""
_BYTES = 32


def new() -> str:
    """A key that was never seen before."""
    return _SIGN + secrets.token_urlsafe(_BYTES)


def hashed(key: str) -> str:
    """What is kept of a key."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


class Keys:
    """The keys that a service knows: hashes by person, and one that is nobody's own, unless it is empty."""

    def __init__(self, shared: str, named: Mapping[str, str]) -> None:
        kept = {**named, **({"": hashed(shared)} if shared else {})}
        self._known = {name: bytes.fromhex(text.partition(":")[2]) for name, text in kept.items()}

    @property
    def wanted(self) -> bool:
        """Whether a request needs a key."""
        return bool(self._known)

    def whose(self, given: str) -> str | None:
        """The person whose key it is, empty for the shared one; None: it is no key.

        Every key is compared, whichever is right, each in a time that does not tell how much of it is.
        """
        # Header values arrive as Latin-1, whatever they are.
        digest = hashlib.sha256(given.encode("latin-1")).digest()
        right = [name for name, known in self._known.items() if hmac.compare_digest(digest, known)]
        return right[0] if right else None
