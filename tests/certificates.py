"""Certificates for a test, each its own authority."""

from __future__ import annotations

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime.datetime.now(datetime.UTC)
"""When the tests began."""


def certify(name: str, address: str = "127.0.0.1", *, days: tuple[int, int] = (-1, 1)) -> tuple[str, str]:
    """A certificate for an IP address, valid between two days counted from now, and its key; both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    first, last = (NOW + datetime.timedelta(days=day) for day in days)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    made = (
        x509.CertificateBuilder(own, own, key.public_key(), x509.random_serial_number(), first, last)
        .add_extension(host, critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return made.public_bytes(serialization.Encoding.PEM).decode(), private.decode()
