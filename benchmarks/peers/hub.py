"""This hub, as `hub serve` starts it, with its defaults; tokens are signed with a shared secret.

``HubEd25519`` is the same with the hub's own key, which is what a hub without that setting uses.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.crowd import Door
from benchmarks.frames import post, upgrade
from benchmarks.peers.base import SECRET, Peer, token


class Hub(Peer):
    """Publishes by HTTP, ephemeral events unless ``durable``."""

    name = "hub"
    title = "this hub"
    publishes_by = "http"
    batch = 100

    def __init__(self, port: int | None = None) -> None:
        super().__init__(port)
        self.durable = False
        grants = {"publish": ["*", "all", "user:*"], "subscribe": ["*"]}
        self._authorization = (("Authorization", f"Bearer {self.token('bench', kind='service', grants=grants)}"),)

    def command(self, directory: Path) -> list[str]:
        return [sys.executable, "-m", "hub", "serve"]

    def environment(self, directory: Path) -> dict[str, str]:
        return {
            "HUB_PORT": str(self.port),
            "HUB_DATA_DIR": str(directory / "data"),
            "HUB_SIGNING_SECRET": SECRET,
            "HUB_ADMIN_PASSWORD": "only for benchmarks",
            "HUB_LOG_LEVEL": "warning",
        }

    def door(self, number: int, topics: str = "", after: str = "") -> Door:
        more = (f"&topics={topics}" if topics else "") + (f"&after={after}" if after else "")
        return Door(upgrade(f"/v1/ws?token={self._user(number)}{more}"), b"", b'{"type":"welcome"')

    def token(self, subject: str, **claims: Any) -> str:
        """One that the hub takes."""
        return token(subject, **claims)

    def _user(self, number: int) -> str:
        return self.token(f"u{number}", grants={"subscribe": ["*"]})

    def publish(self, events: list[tuple[dict[str, object], bytes]]) -> bytes:
        """The request that publishes data to targets, in one go."""
        durable = "" if self.durable else ',"durable":false'
        texts = [
            f'{{"type":"bench","to":{json.dumps(target, separators=(",", ":"))}{durable},"data":'.encode() + data + b"}"
            for target, data in events
        ]
        body = texts[0] if len(texts) == 1 else b"[" + b",".join(texts) + b"]"
        return post("/v1/events", body, self._authorization)

    def broadcast(self, payloads: list[bytes]) -> bytes:
        return self.publish([({"all": True}, payload) for payload in payloads])

    def unicast(self, users: list[int], payloads: list[bytes]) -> bytes:
        return self.publish([({"users": [f"u{user}"]}, payload) for user, payload in zip(users, payloads, strict=True)])


class HubEd25519(Hub):
    """Tokens signed with a key as the hub makes one at its first start, here a known one."""

    name = "hub_ed25519"
    title = "this hub, Ed25519 tokens"

    def __init__(self, port: int | None = None) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # The others do not need it.

        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(SECRET.encode()).digest())
        super().__init__(port)

    def environment(self, directory: Path) -> dict[str, str]:
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        path = directory / "key.pem"
        path.touch(mode=0o600)
        path.write_bytes(self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        settings = super().environment(directory)
        del settings["HUB_SIGNING_SECRET"]
        return settings | {"HUB_SIGNING_KEY_FILE": str(path)}

    def token(self, subject: str, **claims: Any) -> str:
        return token(subject, algorithm="EdDSA", sign=self._key.sign, **claims)
