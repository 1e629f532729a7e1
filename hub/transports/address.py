"""Where a request comes from. Behind proxies: what the last of those says that we trust, and nobody else."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from hub.notation import Network

UNKNOWN = "unknown"


class Proxies:
    """The proxies that are trusted to say whom they speak for."""

    def __init__(self, trusted: Iterable[Network]) -> None:
        self._trusted = tuple(trusted)
        self._is_trusted = lru_cache(maxsize=4096)(self._look_up)

    def trusts(self, address: str) -> bool:
        """Whether this is one of them."""
        return self._is_trusted(address)

    def client(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The client's address: the peer's, or the newest one in ``X-Forwarded-For`` that is no trusted proxy's.

        Each proxy adds the address it was called from at the end, so what stands before an untrusted one may be
        anybody's invention.
        """
        address = peer or UNKNOWN
        if not self._is_trusted(address):
            return address
        said = [value for name, value in headers if name == b"x-forwarded-for"]
        if not said:
            return address
        for hop in reversed(b",".join(said).decode("latin-1").split(",")):
            read = _address(hop.strip())
            if read is None:
                break
            address = read
            if not self._is_trusted(read):
                break
        return address

    def _look_up(self, address: str) -> bool:
        try:
            read = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(read, ipaddress.IPv6Address) and read.ipv4_mapped is not None:
            read = read.ipv4_mapped
        return any(read in network for network in self._trusted)


def _address(hop: str) -> str | None:
    """An address, with or without a port: ``1.2.3.4:5``, ``[::1]:5``. None if it is none."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ipaddress.ip_address(hop))
    except ValueError:
        return None


class ProxiedClient:
    """Puts the client's address in the place of its proxy's, for all that the app does. Plain ASGI."""

    def __init__(self, app: ASGIApp, proxies: Proxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] in ("http", "websocket"):
            peer: Sequence[object] | None = scope.get("client")
            address = self._proxies.client(str(peer[0]) if peer else None, scope["headers"])
            if peer is None or address != peer[0]:
                scope["client"] = (address, 0)
        await self._app(scope, receive, send)
