"""Where the hub is and as whom to come: resolved once, so that no connection waits for a name server. Pure but for
``resolve``.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit


class BenchError(Exception):
    """The bench cannot go on; the message says why and, where that is known, what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """One hub. ``path`` is what a reverse proxy put before ``/v1``; ``address`` the IP address of ``host``."""

    host: str
    port: int
    secure: bool
    path: str
    address: str
    token: str = field(default="", repr=False)

    @classmethod
    def resolve(cls, url: str, token: str = "") -> Target:
        """Read ``http(s)://host[:port][/path]`` and look the host up. Raises ``BenchError``."""
        parts = urlsplit(url)
        secure = parts.scheme in ("https", "wss")
        host = parts.hostname or ""
        try:
            port = parts.port or (443 if secure else 80)
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            raise BenchError(f"{url} cannot be looked up: {error}.") from None
        # IPv4 first: a hub that listens on 127.0.0.1 is not on the ::1 that `localhost` may also be.
        *_, address = min(found, key=lambda each: each[0] != socket.AF_INET)
        return cls(host, port, secure, parts.path.rstrip("/"), str(address[0]), token)

    @property
    def is_loopback(self) -> bool:
        """Whether the hub shares this machine, and so its cores."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def authority(self) -> str:
        """The ``Host`` of a request (RFC 9110, 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def tls(self) -> ssl.SSLContext | None:
        """For ``create_connection``; None without TLS."""
        return ssl.create_default_context() if self.secure else None

    @property
    def server_hostname(self) -> str | None:
        """The name that the certificate must have."""
        return self.host if self.secure else None
