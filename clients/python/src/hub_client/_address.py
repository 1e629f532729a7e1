"""Where the hub is: one address for HTTP and for the socket, and whether a proxy may stand in between. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class Address:
    """The hub's address; ``base`` is ``http(s)://host[:port][/path]`` without a slash at the end."""

    base: str
    is_loopback: bool

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.base.startswith("https:")

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read ``http(s)://…`` or ``ws(s)://…``. Raises ValueError, without repeating a password that it may hold."""
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise ValueError("the hub's url must look like https://hub.example.com or http://127.0.0.1:8000")
        _ = parts.port  # Raises ValueError unless it is a number up to 65535.
        if parts.username is not None or parts.password is not None:
            raise ValueError("the hub's url must not hold credentials; give them as arguments")
        if parts.query or parts.fragment:
            raise ValueError("the hub's url must not have a query or a fragment")
        base = f"{_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}"
        return cls(base, _is_loopback(parts.hostname))

    def http(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """An HTTP URL of the hub."""
        return self.base + path + (f"?{_query(query)}" if query else "")

    def socket(self, query: Mapping[str, str]) -> str:
        """The stream's URL."""
        return "ws" + self.base.removeprefix("http") + "/v1/ws?" + _query(query)


def topic_list(topics: Iterable[str]) -> str:
    """Topics as the hub reads them in a query."""
    return ",".join(topics)


def _query(values: Mapping[str, str]) -> str:
    # Legal in a query as they are (RFC 3986, 3.4), and topics are full of them; "+" would be read as a space.
    return "&".join(f"{name}={quote(value, safe=':@/=~,')}" for name, value in values.items())


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
