"""Certificates of HTTPS front ends: those that were given, or one that this machine signs itself.

Files are private and named after what is in them, so that another certificate is another structure.
"""

from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from awsorch.local.files import write_private

_FOLDER = "certificates"
_NAMES = ("localhost", "*.localhost", "*.elb.amazonaws.com", "*.elb.localhost")
_VALID = timedelta(days=3650)


def certificate_files(folder: Path, given: tuple[str, ...]) -> tuple[str, ...]:
    """The files, relative to the folder, of the certificates given (PEM: key, certificate, chain), or of one of our
    own.

    Raises ValueError for a text that is no certificate with its key, OSError.
    """
    if not given:
        own = f"{_FOLDER}/own.pem"
        if not (folder / own).exists():
            write_private(folder / own, _self_signed())
        return (own,)
    return tuple(_file(folder, text) for text in given)


def _file(folder: Path, text: str) -> str:
    name = f"{_FOLDER}/{hashlib.sha256(text.encode()).hexdigest()[:24]}.pem"
    if not (folder / name).exists():
        write_private(folder / name, text)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(folder / name)
        except ssl.SSLError as error:
            (folder / name).unlink()
            raise ValueError(f"the certificate cannot be used: {error.reason or error}") from error
    return name


def _self_signed() -> str:
    # Imported here because only a local cloud with an HTTPS listener needs them, and a controller loads this module.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in _NAMES]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (secret + certificate.public_bytes(Encoding.PEM)).decode()
