"""Certificates for tests: an authority of our own, made once, and what servers and clients need of it."""

from __future__ import annotations

import datetime
import ssl
import warnings
from functools import cache
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def authority(name: str = "first") -> trustme.CA:
    """The certificate authority of that name; made when first asked for."""
    return _authority(name)


@cache
def _authority(name: str) -> trustme.CA:
    return trustme.CA(organization_name=name)


def certificate(*names: str, by: str = "first", expired: bool = False) -> trustme.LeafCert:
    """The certificate for these names, host names or IP addresses; made when first asked for."""
    return _certificate(names, by, expired)


@cache
def _certificate(names: tuple[str, ...], by: str, expired: bool) -> trustme.LeafCert:
    return authority(by).issue_cert(*names, not_after=PAST if expired else None)


def old_server_context(*names: str) -> ssl.SSLContext:
    """A server that speaks no TLS newer than 1.1."""
    context = server_context(*names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def self_signed_context(name: str, folder: Path) -> ssl.SSLContext:
    """A server whose certificate nobody else has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(Encoding.PEM) + key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    path = folder / "self-signed.pem"
    path.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def server_context(*names: str, by: str = "first", expired: bool = False) -> ssl.SSLContext:
    """What a server with a certificate for the names needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate(*names, by=by, expired=expired).configure_cert(context)
    return context


def client_context(by: str = "first") -> ssl.SSLContext:
    """What a client that trusts the authority needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority(by).configure_trust(context)
    return context


def write_authority(folder: Path, name: str = "first") -> str:
    """The authority's certificate as a file; its path."""
    path = folder / f"{name}-ca.pem"
    authority(name).cert_pem.write_to_path(str(path))
    return str(path)


def write_files(folder: Path) -> None:
    """ca.pem, client.pem and client.key, as examples name them."""
    folder.mkdir(parents=True, exist_ok=True)
    Path(write_authority(folder)).rename(folder / "ca.pem")
    own, key = write_pair(folder, "client.test")
    Path(own).rename(folder / "client.pem")
    Path(key).rename(folder / "client.key")


def write_pair(folder: Path, *names: str, by: str = "first") -> tuple[str, str]:
    """A certificate with its key as files; their paths."""
    made = certificate(*names, by=by)
    path, key = folder / f"{names[0]}-{by}.pem", folder / f"{names[0]}-{by}.key"
    made.cert_chain_pems[0].write_to_path(str(path))
    made.private_key_pem.write_to_path(str(key))
    return str(path), str(key)
