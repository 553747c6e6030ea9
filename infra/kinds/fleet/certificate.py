"""The certificate with which the gateway shows who it is: what is wrong with it is said before a host is contacted."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization

_FORM = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class CertificateRefusedError(Exception):
    """It cannot be served; `setting` is the one to change below `pollex:gateway.tls`, and nothing of a key is told."""

    def __init__(self, setting: str, text: str) -> None:
        super().__init__(text)
        self.setting = setting


def bundle(certificates: str, key: str, now: datetime) -> str:
    """Certificate and key as HAProxy reads them, in one PEM.

    Args:
        certificates: PEM: the gateway's own first, then those between it and its authority.
        key: PEM: its private key.
        now: with a time zone.

    Raises:
        CertificateRefusedError: one is none, they are no pair, or nobody believes it now.
    """
    try:
        chain = x509.load_pem_x509_certificates(certificates.encode())
    except ValueError:
        raise CertificateRefusedError("certificateFile", "holds no certificate in PEM") from None
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except TypeError:
        remedy = "has a passphrase, which nobody would be there to type: `openssl pkey -in FILE -out PLAIN`"
        raise CertificateRefusedError("keyFile", remedy) from None
    except ValueError:
        raise CertificateRefusedError("keyFile", "holds no private key in PEM") from None
    own = chain[0]
    if own.public_key().public_bytes(*_FORM) != private.public_key().public_bytes(*_FORM):
        remedy = f"is not the key of the first certificate in certificateFile ({own.subject.rfc4514_string()})"
        raise CertificateRefusedError("keyFile", remedy)
    if now >= own.not_valid_after_utc:
        raise CertificateRefusedError("certificateFile", f"expired on {own.not_valid_after_utc:%Y-%m-%d}: renew it")
    if now < own.not_valid_before_utc:
        raise CertificateRefusedError("certificateFile", f"is valid from {own.not_valid_before_utc:%Y-%m-%d %H:%M} on")
    return f"{certificates.strip()}\n{key.strip()}\n"
