"""A hub behind TLS with a certificate of one's own."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hub_client import AsyncClient, AsyncPublisher, PublishFailed, Unavailable

from .fake_hub import FakeHub, jwt

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's hub")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "hub.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


async def test_whom_one_trusts_is_reached(certificate: Path) -> None:
    trust = ssl.create_default_context(cafile=certificate)
    async with (
        FakeHub().run(ssl_certfile=certificate) as hub,
        AsyncClient(hub.url, username="alice", password="secret", tls=trust) as client,
        AsyncPublisher(hub.url, token=jwt(), tls=trust) as publisher,
    ):
        assert hub.url.startswith("https:")
        await publisher.publish("x", all=True)
        assert client.state == "open"


async def test_whom_one_does_not_trust_gets_no_token(certificate: Path) -> None:
    # The server runs on this loop, too, and asyncio's debug mode complains about handshakes that clients break off.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with FakeHub().run(ssl_certfile=certificate) as hub:
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await AsyncClient(hub.url, token=jwt(), open_timeout=0.5).start()
        async with AsyncPublisher(hub.url, token=jwt(), timeout=0.5) as publisher:
            with pytest.raises(PublishFailed, match="CERTIFICATE_VERIFY_FAILED"):
                await publisher.publish("x", all=True)
        assert hub.calls == []
        assert hub.sockets == []


async def test_what_is_trusted_does_not_matter_without_tls(hub: FakeHub) -> None:
    async with AsyncClient(hub.url, token=jwt(), tls=ssl.create_default_context()) as client:
        assert client.state == "open"
