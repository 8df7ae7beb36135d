"""Generates certificates for localhost that are valid for a day."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certified:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Writes NAME.pem and NAME.key and returns both paths."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.certificate_pem)
        key.write_bytes(self.key_pem)
        return certificate, key


def authority(name: str) -> Certified:
    """A self-signed certificate authority."""
    return _signed(name, None)


def certificate(
    name: str, issuer: Certified, *, host: str = "localhost", address: str = "127.0.0.1", starts: float = -1
) -> Certified:
    """A certificate for one host name and one address, for servers and clients.

    Args:
        name: the subject's common name.
        issuer: the authority that signs it.
        host: the host name.
        address: the IP address.
        starts: the day, counted from now, from which it is valid, for two days: -3 makes an expired one.
    """
    names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address(address))]
    return _signed(name, issuer, names, starts)


def _signed(
    common_name: str, issuer: Certified | None, names: Sequence[x509.GeneralName] = (), starts: float = -1
) -> Certified:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=starts))
        .not_valid_after(now + dt.timedelta(days=starts + 2))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Certified(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)
