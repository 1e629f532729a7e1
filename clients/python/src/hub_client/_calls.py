"""Calls that need a token: asked again once with a fresh one after a 401, and for a while if the hub is not there.

What the client and the publisher have in common besides the socket.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from hub_client._address import Address
from hub_client._auth import TokenCallable, Tokens, choose_source
from hub_client._errors import Refused, Rejected
from hub_client._http import Http
from hub_client._retry import Retry

T = TypeVar("T")


class Calls:
    """One hub, one principal. Belongs to the event loop that first awaits it."""

    def __init__(
        self,
        url: str,
        *,
        retry: Retry,
        tls: ssl.SSLContext | None = None,
        username: str | None = None,
        password: str | None = None,
        token: str | TokenCallable | None = None,
        service_id: str | None = None,
        service_secret: str | None = None,
    ) -> None:
        self.address = Address.parse(url)
        self.retry = retry
        self.http = Http(self.address, attempt_timeout=retry.attempt_timeout, tls=tls)
        self.tokens = Tokens(
            choose_source(
                self.http,
                username=username,
                password=password,
                token=token,
                service_id=service_id,
                service_secret=service_secret,
            )
        )

    async def close(self) -> None:
        """Close the connections. Safe to call twice."""
        await self.tokens.close()
        await self.http.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None, wait: float = 0) -> Any:
        """GET, tried again while the hub is not available; ``wait``: seconds by which it may hold its answer."""
        retry = replace(
            self.retry, timeout=self.retry.timeout + wait, attempt_timeout=self.retry.attempt_timeout + wait
        )
        return await retry.run(lambda: self.authorized(lambda token: self.http.get(path, token, query, wait)))

    async def post(self, path: str, body: object) -> Any:
        """POST what may be repeated, tried again while the hub is not available."""
        return await self.retry.run(lambda: self.authorized(lambda token: self.http.post(path, body, token)))

    async def authorized(self, call: Callable[[str], Awaitable[T]]) -> T:
        """What ``call`` returns for a token; after a 401 it is called once more, with a fresh one."""
        token = await self.tokens.get()
        try:
            return await call(token.value)
        except Refused as refused:
            if refused.status != 401:
                raise
            try:
                fresh = await self.tokens.get(stale=token.value)
            except Rejected as rejected:
                # There is no other token: what the hub said about this one says more.
                raise (refused if rejected.code == "token_unavailable" else rejected) from None
        return await call(fresh.value)
