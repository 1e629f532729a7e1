"""Where tokens come from: a login, client credentials, a callable, or a fixed string.

``Tokens.get`` promises a token that is not about to expire as far as can be known, fetched at most once at a time
however many ask (single flight), and refreshed before its end at a random moment, so that clients that began together
do not come together. Raises ``Rejected`` where there is no use in asking again, ``Unavailable`` where there may be.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import math
import random
import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote_plus

from hub_client._errors import Refused, Rejected, Unavailable
from hub_client._http import Http

TokenCallable = Callable[[], str | Awaitable[str]]

log = logging.getLogger("hub_client")

# The part of a token's life after which it is renewed, drawn anew for each token.
_RENEW_FROM, _RENEW_TO = 0.7, 0.9

# A refresh token whose answer was lost may be spent. The hub takes it again for ten seconds after its first use; after
# that using it ends the session and its sockets, so that logging in is the way.
_SPENT_GRACE = 8

_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. ``renew_at`` and ``expires_at`` are readings of the monotonic clock, None if unknown."""

    value: str = field(repr=False)
    renew_at: float | None = None
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source brought: the token, and the seconds it lives, if known."""

    value: str = field(repr=False)
    lifetime: float | None = None


class Source(Protocol):
    """Fetches a new token."""

    async def fetch(self) -> Fetched:
        """A new token; raises ``Rejected`` or ``Unavailable``."""
        ...


class Tokens:
    """Keeps a token and renews it. Belongs to one event loop."""

    def __init__(
        self,
        source: Source,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._source = source
        self._clock = clock
        self._draw = draw
        self._token: Token | None = None
        self._flight: asyncio.Task[Token] | None = None

    async def get(self, stale: str | None = None) -> Token:
        """A token other than ``stale``, which is known to be over."""
        token = self._token
        if token is not None and token.value == stale:
            token = None
        now = self._clock()
        if token is not None and (token.renew_at is None or now < token.renew_at):
            return token
        try:
            return await self._renewed()
        except Unavailable:
            # It was to be renewed early; until it ends it will do.
            if token is not None and token.expires_at is not None and now < token.expires_at:
                return token
            raise

    async def close(self) -> None:
        """Give up what is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])

    async def _renewed(self) -> Token:
        # A task of its own, which no cancelled caller takes along: a refresh that is cut off half-way spends the
        # refresh token and loses its successor.
        if self._flight is None:
            self._flight = asyncio.create_task(self._fetch(), name="hub-client-token")
            self._flight.add_done_callback(self._landed)
        flight = self._flight
        await asyncio.wait([flight])
        if flight.cancelled():
            raise Rejected("client_closed", "it was closed meanwhile")
        return flight.result()

    async def _fetch(self) -> Token:
        asked = self._clock()
        fetched = await self._source.fetch()
        if not _TOKEN.fullmatch(fetched.value):
            # Said here, since HTTP libraries quote a header that they do not like.
            raise Rejected("token_malformed", "the token is empty or holds characters that no token has")
        life = fetched.lifetime
        if life is None:
            self._token = Token(fetched.value)
        else:
            # Counted from when it was asked for, by our own clock: the hub's clock may differ.
            renew_at = asked + life * self._draw(_RENEW_FROM, _RENEW_TO)
            self._token = Token(fetched.value, renew_at, asked + life)
        return self._token

    def _landed(self, flight: asyncio.Task[Token]) -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # Whoever still waits gets it; if nobody does, it is not an unhandled one.


class Fixed:
    """A token given as a string: there is no other."""

    def __init__(self, token: str) -> None:
        self._token: str | None = token

    async def fetch(self) -> Fetched:
        """The token, the first time."""
        token, self._token = self._token, None
        if token is None:
            raise Rejected(
                "token_unavailable",
                "the token is over and was given as a string; give a callable or credentials to get fresh ones",
            )
        return Fetched(token)


class FromCallable:
    """A token from the application's own code, such as its identity provider's client.

    A plain function is called in a thread, for it may wait for the network.
    """

    def __init__(self, function: TokenCallable) -> None:
        self._function = function

    async def fetch(self) -> Fetched:
        """Call it."""
        try:
            if inspect.iscoroutinefunction(self._function):
                value = await self._function()
            else:
                value = await asyncio.to_thread(self._function)
                if inspect.isawaitable(value):
                    value = await value
        except (Rejected, Unavailable):
            raise
        except Exception as error:
            log.warning("The callable that gives tokens failed", exc_info=True)
            raise Unavailable(f"the callable that gives tokens failed: {type(error).__name__}") from error
        if not isinstance(value, str):
            raise Rejected("token_malformed", f"the callable gave a {type(value).__name__}, not a token")
        return Fetched(value, _lifetime(value))


class Login:
    """Username and password (``/v1/auth/login``), then refresh tokens (``/v1/auth/refresh``)."""

    def __init__(
        self, http: Http, username: str, password: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._http = http
        self._username = username
        self._password = password
        self._clock = clock
        self._refresh: str | None = None
        self._spent_at = math.inf

    async def fetch(self) -> Fetched:
        """Refresh if that is possible, log in otherwise."""
        asked = self._clock()
        if self._refresh is not None and asked < self._spent_at + _SPENT_GRACE:
            try:
                body = {"refresh_token": self._refresh}
                return self._read(await _verdict(self._http.post("/v1/auth/refresh", body)))
            except Unavailable as error:
                if error.maybe_done:
                    self._spent_at = min(asked, self._spent_at)
                raise
            except Rejected as error:
                log.info("The session cannot be refreshed (%s); logging in again", error.code)
                self._refresh = None
        credentials = {"username": self._username, "password": self._password}
        return self._read(await _verdict(self._http.post("/v1/auth/login", credentials)))

    def _read(self, answer: Any) -> Fetched:
        self._refresh, self._spent_at = answer.get("refresh_token"), math.inf
        return Fetched(answer["access_token"], answer.get("expires_in"))


class ClientCredentials:
    """A service's id and secret (``/v1/auth/token``; RFC 6749, 4.4)."""

    def __init__(self, http: Http, service_id: str, secret: str) -> None:
        self._http = http
        # RFC 6749, 2.3.1: form-encoded before they are put into Basic.
        self._id, self._secret = quote_plus(service_id), quote_plus(secret)

    async def fetch(self) -> Fetched:
        """Ask for a token."""
        form = {"grant_type": "client_credentials"}
        answer = await _verdict(self._http.post_form("/v1/auth/token", form, self._id, self._secret))
        return Fetched(answer["access_token"], answer.get("expires_in"))


def choose_source(
    http: Http,
    *,
    username: str | None = None,
    password: str | None = None,
    token: str | TokenCallable | None = None,
    service_id: str | None = None,
    service_secret: str | None = None,
) -> Source:
    """The source for what the application gave. Raises TypeError unless it is exactly one kind."""
    kinds = [
        username is not None or password is not None,
        token is not None,
        service_id is not None or service_secret is not None,
    ]
    if sum(kinds) != 1:
        raise TypeError("give one of: username and password, service_id and service_secret, token")
    if token is not None:
        return Fixed(token) if isinstance(token, str) else FromCallable(token)
    if username is not None and password is not None:
        return Login(http, username, password)
    if service_id is not None and service_secret is not None:
        return ClientCredentials(http, service_id, service_secret)
    raise TypeError("username and password, service_id and service_secret belong together")


async def _verdict(call: Awaitable[Any]) -> Any:
    """The answer of a login; what it refuses, it refuses to the client as a whole."""
    try:
        answer = await call
    except Refused as refused:
        raise Rejected(refused.code, refused.detail) from None
    if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
        raise Unavailable("what answered the login does not answer as a hub does")
    return answer


def _lifetime(token: str) -> float | None:
    """The seconds a JWT has left (RFC 7519, 4.1.4), not verified: it only says when to ask for the next."""
    try:
        payload = token.split(".")[1]
        expires = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        left = float(expires) - time.time()
    except (IndexError, ValueError, KeyError, TypeError):
        return None
    # Over already, or is it our clock that is wrong? The hub will say.
    return left if left > 0 else None
