"""Being let in: tokens, TLS with a private authority and a certificate of one's own; and what a refusal says."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hub.engine import nats_link
from hub.engine.nats import NatsEngine
from hub.engine.nats_link import Access
from tests.nats_server import NatsServer

from .nodes import settings
from .recorder import Recorder, draft

pytestmark = pytest.mark.anyio


class Authority:
    """Signs certificates for 127.0.0.1."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the tests' authority")])
        certificate = self._signed(self._name, self._key, authority=True)
        self.path = directory / "ca.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certify(self, name: str) -> tuple[Path, Path]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key, authority=False)
        paths = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return paths

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self._key, hashes.SHA256())
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def guarded(tmp_path: Path, authority: Authority) -> Iterator[NatsServer]:
    """A server that wants a token, TLS, and a certificate of the same authority."""
    certificate, key = authority.certify("server")
    extra = f"""
        authorization {{ token: "open sesame" }}
        tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{authority.path}", verify: true }}
    """
    server = NatsServer(tmp_path, extra=extra)
    yield server.start()
    server.close()


async def test_token_and_tls(guarded: NatsServer, authority: Authority, stream: str) -> None:
    certificate, key = authority.certify("hub")
    access = Access(
        (guarded.url.replace("nats:", "tls:"),), "open sesame", ca=authority.path, certificate=certificate, key=key
    )
    engine = NatsEngine(access, settings(stream))
    await engine.start(Recorder())
    await engine.append([draft("a")])
    await engine.probe()
    await engine.stop()


@pytest.mark.parametrize(
    ("token", "with_certificate", "said"),
    [("wrong", True, r"(?i)authorization violation"), ("open sesame", False, r"127\.0\.0\.1")],
    ids=["a wrong token", "no certificate"],
)
async def test_who_is_not_let_in_is_told_why(
    guarded: NatsServer,
    authority: Authority,
    stream: str,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    with_certificate: bool,
    said: str,
) -> None:
    monkeypatch.setattr(nats_link, "_FIRST_CONNECT", 2)
    certificate, key = authority.certify("hub") if with_certificate else (None, None)
    engine = NatsEngine(
        Access((guarded.url,), token, ca=authority.path, certificate=certificate, key=key), settings(stream)
    )
    with pytest.raises(OSError, match=said):
        await engine.start(Recorder())


@pytest.mark.parametrize("option", ["ca", "credentials"])
async def test_a_file_that_is_not_there_is_named(stream: str, option: str) -> None:
    access = Access(("nats://127.0.0.1:9",), **{option: Path("/nowhere/file.pem")})
    engine = NatsEngine(access, settings(stream))
    with pytest.raises(OSError, match=r"/nowhere/file\.pem"):
        await engine.start(Recorder())
