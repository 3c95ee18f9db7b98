"""The server's own key and certificate, and which clients' certificates it trusts.

`DIR/opcua/` holds `server-key.pem` (0600) and `server-certificate.der`, made at the first start;
`trusted/` the certificates (DER or PEM) of clients that may open an encrypted channel, put there by
a person; `refused/` the first few of others that tried, for that person to look at and move.
"""

import datetime
import hashlib
import ipaddress
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from vialsight.errors import ConfigError

KEY_NAME: Final = "server-key.pem"
CERTIFICATE_NAME: Final = "server-certificate.der"
# A line is validated once and then runs for years; whoever wants less puts own files there.
_VALID_DAYS: Final = 3650
_KEY_BITS: Final = 2048
# What strangers can leave on the disk stays small.
_REFUSED_KEPT: Final = 16
_LARGEST_BYTES: Final = 16_384


@dataclass(frozen=True)
class Identity:
    """Key and certificate that the server shows."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    uri: str


def server_identity(folder: Path, name: str) -> Identity:
    """Return the server's identity, made anew where there is none.

    Args:
        folder: `DIR/opcua`, made with mode 0700 if it is missing.
        name: the station's; the application URI is `urn:HOST:vialsight:NAME`.

    Raises:
        ConfigError: files are there that cannot be used.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key_path, certificate_path = folder / KEY_NAME, folder / CERTIFICATE_NAME
    if not key_path.exists() and not certificate_path.exists():
        _make(key_path, certificate_path, name)
    try:
        key = load_pem_private_key(key_path.read_bytes(), None)
        certificate = _certificate(certificate_path.read_bytes())
        uri = application_uri(certificate)
        if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError("the key is not the certificate's")
        if uri is None:
            raise ValueError("the certificate names no application URI")
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{key_path} and {certificate_path.name}: expected an RSA key and its certificate, "
            f"got {error}. Put both there, or remove both to have them made."
        ) from error
    return Identity(key, certificate, uri)


def application_uri(certificate: x509.Certificate) -> str | None:
    """Return the URI that a certificate names as its application's."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if uris else None


class TrustedClients:
    """Certificates of clients, looked up in `trusted/` whenever a channel is opened."""

    def __init__(self, folder: Path) -> None:
        self._trusted, self._refused = folder / "trusted", folder / "refused"
        for path in (self._trusted, self._refused):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def objection(self, der: bytes | None) -> str | None:
        """Say why a client with this certificate may not open a channel; None: it may."""
        if not der or len(der) > _LARGEST_BYTES:
            return "the client shows no usable certificate"
        try:
            certificate = x509.load_der_x509_certificate(der)
        except ValueError:
            return "the client's certificate cannot be read"
        fingerprint = hashlib.sha256(der).hexdigest()
        if fingerprint not in self._fingerprints():
            self._keep(fingerprint, der)
            return f"certificate {fingerprint[:16]}… is not in {self._trusted}"
        return _defect(certificate)

    def _fingerprints(self) -> set[str]:
        found = set()
        for path in self._trusted.iterdir():
            try:
                if path.stat().st_size <= _LARGEST_BYTES:
                    der = _certificate(path.read_bytes()).public_bytes(Encoding.DER)
                    found.add(hashlib.sha256(der).hexdigest())
            except (OSError, ValueError):
                continue  # something else that lies there trusts nobody
        return found

    def _keep(self, fingerprint: str, der: bytes) -> None:
        path = self._refused / f"{fingerprint}.der"
        try:
            if not path.exists() and len(list(self._refused.iterdir())) < _REFUSED_KEPT:
                path.write_bytes(der)
        except OSError:
            pass  # a full disk is no reason to answer a stranger otherwise


def _defect(certificate: x509.Certificate) -> str | None:
    now = datetime.datetime.now(datetime.timezone.utc)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return f"the client's certificate was valid until {certificate.not_valid_after_utc}"
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or not 2048 <= key.key_size <= 4096:
        return "expected an RSA key of 2048 to 4096 bit"
    return None


def _certificate(content: bytes) -> x509.Certificate:
    if content.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_certificate(content)
    return x509.load_der_x509_certificate(content)


def _make(key_path: Path, certificate_path: Path, name: str) -> None:
    from asyncua.crypto.cert_gen import generate_self_signed_app_certificate

    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    host = socket.gethostname()
    certificate = generate_self_signed_app_certificate(
        key,
        f"VialSight {name}",
        {},
        [
            x509.UniformResourceIdentifier(f"urn:{host}:vialsight:{name}"),
            x509.DNSName(host),
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ],
        extended=[ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
        days=_VALID_DAYS,
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor = os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    certificate_path.write_bytes(certificate.public_bytes(Encoding.DER))
