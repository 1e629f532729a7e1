"""The door to the live stream: who comes in, and to what; see docs/protocol.md, section 3.

The same for a handshake that the hub's own server took and for one that came through ASGI. A page of a foreign origin
is refused before its token is looked at. What follows is ``dialogue``'s.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from functools import cached_property
from urllib.parse import parse_qsl, urlsplit

from hub import model, wire
from hub.errors import HubError, NotYet
from hub.hub import Hub
from hub.model import Principal
from hub.outbox import Link
from hub.session import Session
from hub.transports import request_id
from hub.transports.credentials import Authenticate, from_headers, from_subprotocols, only_token

log = logging.getLogger("hub.websocket")

PATH = "/v1/ws"
SSE_PATH = "/v1/sse"
EXPOSED = ("Retry-After", "X-Request-ID")
"""Headers that a page of an allowed origin may read, besides those that any may."""
_MOST_FIELDS = 2000
"""Fields of a query: more than anybody has topics."""


class Handshake:
    """What a client said to be let in: the query, the headers (names in lower case) and where it comes from.

    Read once, however often it is asked: thousands come in a second.
    """

    def __init__(self, query: bytes, headers: Iterable[tuple[bytes, bytes]], address: str) -> None:
        self.address = address
        self._query = query
        self._headers: dict[bytes, list[str]] = {}
        for name, value in headers:
            self._headers.setdefault(name, []).append(value.decode("latin-1"))

    def values(self, name: bytes) -> list[str]:
        """All values of a header."""
        return self._headers.get(name, [])

    @cached_property
    def fields(self) -> list[tuple[str, str]]:
        """The query's fields; raises ``request_invalid`` if they are too many."""
        try:
            return parse_qsl(self._query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            raise HubError("request_invalid", f"A URL has at most {_MOST_FIELDS} fields.") from None

    @property
    def origin(self) -> str | None:
        """The page's, if it is a browser."""
        return next(iter(self.values(b"origin")), None)

    @property
    def after(self) -> str | None:
        """The cursor from which on it wants to read. A browser's ``EventSource`` reconnects to the URL that it was made
        with, and says in a header how far it got since."""
        said = next(iter(self.values(b"last-event-id")), None)
        return said or dict(self.fields).get("after") or None

    @cached_property
    def subprotocols(self) -> list[str]:
        """Those that it offers (RFC 6455, 11.3.4)."""
        return [name.strip() for line in self.values(b"sec-websocket-protocol") for name in line.split(",")]

    @property
    def subprotocol(self) -> str | None:
        """Ours, if it offers it: browsers fail a handshake that answers with what they did not offer."""
        return wire.PROTOCOL if wire.PROTOCOL in self.subprotocols else None


class Door:
    """Lets clients in."""

    def __init__(
        self, hub: Hub, authenticate: Authenticate, redeem: Authenticate, allowed_origins: Collection[str]
    ) -> None:
        """``redeem`` takes tickets as ``authenticate`` takes tokens."""
        self._hub = hub
        self._authenticate = authenticate
        self._redeem = redeem
        self._allowed_origins = allowed_origins

    def identify(self, handshake: Handshake) -> Principal | HubError:
        """Who it is, or why they may not come in, to be told once they can hear it.

        Before the accept: until then the client sends nothing, so that there is time to wait in. Raises ``NotYet`` if
        there has to be a wait; then ask again.
        """
        try:
            if not self._is_allowed(handshake):
                raise HubError("origin_forbidden", "Add this page's origin to HUB_ALLOWED_ORIGINS.")
            fields = handshake.fields
            tickets = [value for name, value in fields if name == "ticket"]
            tokens = [value for name, value in fields if name == "token"]
            tokens += from_subprotocols(handshake.subprotocols)
            tokens += from_headers(handshake.values(b"authorization"))
            only = only_token([*tickets, *tokens])
            return self._redeem(only) if tickets else self._authenticate(only)
        except NotYet:
            raise
        except HubError as refusal:
            return refusal

    async def wait_and_identify(self, handshake: Handshake, wait: NotYet) -> Principal | HubError:
        """The same after the wait that it asked for. Raises nothing: one wait is all."""
        await wait.ready()
        try:
            return self.identify(handshake)
        except NotYet as refusal:
            return refusal

    def enter(self, handshake: Handshake, caller: Principal | HubError, link: Link) -> Session | None:
        """A session on an accepted connection; None if it was refused, which the client is told by the close.

        So late, since a refusal before the accept reaches browsers as 1006 without a reason.
        """
        try:
            return self.let_in(handshake, caller, link)
        except HubError as refusal:
            link.close(refusal.kind.close, refusal.close_reason)
            return None

    def let_in(self, handshake: Handshake, caller: Principal | HubError, link: Link) -> Session:
        """A session, or the refusal, which is raised: an HTTP answer can still say it. Raises nothing else."""
        try:
            if isinstance(caller, HubError):
                raise caller
            session = self._open(handshake, caller, link)
        except HubError as refusal:
            self._hub.counters.refused += 1
            self._hub.counters.refusals[refusal.code] += 1
            note = f" {handshake.origin[:200]!r}" if refusal.code == "origin_forbidden" and handshake.origin else ""
            log.info("refused %s: %s%s%s", handshake.address, refusal.code, note, _request(handshake))
            raise
        except Exception as error:
            # Nobody else would: without a session, nothing watches over it.
            log.exception("a connection of %s could not be opened", handshake.address)
            raise HubError("internal") from error
        log.info(
            "opened %s for %s from %s%s", session.id, session.principal.source, session.address, _request(handshake)
        )
        return session

    def headers(self, handshake: Handshake) -> list[tuple[bytes, bytes]]:
        """Those that an answer over HTTP has because of what was asked: the request's id, and what lets a browser hand
        it to a page of another origin (WHATWG Fetch, 3.3.3)."""
        said = _request_id(handshake)
        found = [(request_id.HEADER, said.encode())] if said else []
        origin = handshake.origin
        if origin is None or not self._allowed_origins:
            return found
        every = "*" in self._allowed_origins
        if every or origin in self._allowed_origins:
            found.append((b"access-control-allow-origin", b"*" if every else origin.encode("latin-1")))
            found.append((b"access-control-expose-headers", ", ".join(EXPOSED).encode()))
        return found if every else [*found, (b"vary", b"Origin")]

    def _open(self, handshake: Handshake, principal: Principal, link: Link) -> Session:
        fields = handshake.fields
        given = dict(fields)
        names = [name for key, value in fields if key == "topics" for name in value.split(",") if name]
        return self._hub.open(
            principal,
            link,
            client=model.client_id(given["client"]) if "client" in given else None,
            address=handshake.address,
            topics=[model.topic(name, principal.tenant) for name in names],
            after=handshake.after,
        )

    def _is_allowed(self, handshake: Handshake) -> bool:
        """Browsers tell their page's origin (RFC 6455, 10.2), and cannot lie about it; others need not tell one."""
        origin = handshake.origin
        if origin is None or "*" in self._allowed_origins or origin in self._allowed_origins:
            return True
        try:
            return urlsplit(origin).netloc == next(iter(handshake.values(b"host")), None)
        except ValueError:  # Such as "http://[": no browser says that.
            return False


def _request_id(handshake: Handshake) -> str:
    return request_id.sane(next(iter(handshake.values(request_id.HEADER)), ""))


def _request(handshake: Handshake) -> str:
    """The request as a proxy before the hub names it, so that its log and ours can be put together."""
    said = _request_id(handshake)
    return f", request {said}" if said else ""
