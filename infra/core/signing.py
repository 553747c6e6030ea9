"""The operator's signature, under which hosts take what others have made: ECDSA on P-256 with SHA-256.

It is what the `openssl` of every host can check, JetPack's 1.1.1 among them; Python's standard library can not.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from io import BufferedReader
from typing import cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from infra.hosttools.pollex_host import entry
from infra.hosttools.pollex_host.entry import Entry

_SHA256 = ec.ECDSA(hashes.SHA256())


class KeyRefusedError(Exception):
    """A text is no private key of ours; its message repeats nothing of it."""


def new_key() -> str:
    """A private key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public_key(private_key: str) -> str:
    """The public half as a stack file has it: SubjectPublicKeyInfo in Base64, one line.

    Raises:
        KeyRefusedError: it is no private key on P-256.
    """
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return b64encode(_private(private_key).public_key().public_bytes(serialization.Encoding.DER, form)).decode()


def signature(private_key: str, content: bytes) -> bytes:
    """The signature of some bytes, as DER.

    Raises:
        KeyRefusedError: it is no private key on P-256.
    """
    return _private(private_key).sign(content, _SHA256)


def file_signature(private_key: str, file: BufferedReader) -> bytes:
    """The signature of a file that may not fit into memory; otherwise as `signature`."""
    digest = hashlib.file_digest(file, "sha256").digest()
    return _private(private_key).sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


def is_signed(public: str, content: bytes, signed: bytes) -> bool:
    """Whether the owner of a key, as `public_key` spells it, has signed some bytes."""
    key = cast("ec.EllipticCurvePublicKey", serialization.load_der_public_key(b64decode(public)))
    try:
        key.verify(signed, content, _SHA256)
    except InvalidSignature:
        return False
    return True


def _private(text: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(text.strip().encode() + b"\n", None)
    except (ValueError, TypeError):
        raise KeyRefusedError("is no private key in PEM form without a password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyRefusedError("is no private key of ECDSA on P-256: openssl ecparam -name prime256v1 -genkey -noout")
    return key


def vouched(said: Entry, private_key: str) -> dict[str, bytes]:
    """What lies beside an archive in a cache, by the end of its name: the entry, and its signature.

    Raises:
        KeyRefusedError: it is no private key on P-256.
    """
    text = said.text().encode()
    return {entry.ENTRY: text, entry.SIGNATURE: signature(private_key, text)}
