"""``GET /v1/ws``: the door to the live stream; see docs/protocol.md, section 3. What follows is ``dialogue``'s.

A refused connection is accepted and then closed, since a refusal before that reaches browsers as 1006 without a reason.
A page of a foreign origin is refused before its token is looked at.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket

from hub import model, wire
from hub.errors import HubError
from hub.hub import Hub
from hub.model import Principal
from hub.outbox import Link
from hub.session import Session
from hub.transports.connection import Surroundings
from hub.transports.credentials import Authenticate, address, admit, from_headers, from_subprotocols, only_token
from hub.transports.dialogue import Dialogue
from hub.transports.protocol import EXTENSION

log = logging.getLogger("hub.websocket")


def router(
    hub: Hub, authenticate: Authenticate, redeem: Authenticate, *, allowed_origins: Collection[str], max_frame: int
) -> APIRouter:
    """The route, for the composition root. ``redeem`` takes tickets as ``authenticate`` takes tokens; ``max_frame``:
    bytes of the largest message of a client."""
    routes = APIRouter()
    dialogue = Dialogue(hub, authenticate)

    @routes.websocket("/v1/ws")
    async def stream(websocket: WebSocket) -> None:
        handshake = websocket.scope.get("extensions", {}).get(EXTENSION)
        if handshake is None:
            raise RuntimeError("The hub needs its own WebSocket protocol class: start it with `hub serve`.")
        # Before the accept: until then the client sends nothing, so that there is time to wait in, should it be needed.
        caller = await _identify(authenticate, redeem, websocket, allowed_origins)
        offered = websocket.scope["subprotocols"]
        # Browsers fail a handshake that answers their offer with nothing, or with what they did not offer.
        await websocket.accept(wire.PROTOCOL if wire.PROTOCOL in offered else None)
        around = Surroundings(hub, dialogue.answer, handshake.connections, max_frame)
        detached = handshake.detach(around)
        if detached is None:
            return
        connection, early = detached
        try:
            if isinstance(caller, HubError):
                raise caller
            session = _enter(hub, caller, websocket, connection)
        except HubError as refusal:
            hub.counters.refused += 1
            log.info("refused %s: %s%s", address(websocket), refusal.code, _origin_note(websocket, refusal))
            connection.close(refusal.kind.close, refusal.close_reason)
            return
        except Exception:
            # Nobody else would: without a session, nothing watches over it.
            connection.close(1011, "internal")
            raise
        log.info("opened %s for %s from %s", session.id, session.principal.source, session.address)
        connection.begin(session, early)

    return routes


async def _identify(
    authenticate: Authenticate, redeem: Authenticate, websocket: WebSocket, allowed_origins: Collection[str]
) -> Principal | HubError:
    """Who it is, or why they may not come in, to be told once they can hear it."""
    try:
        if not _origin_allowed(websocket, allowed_origins):
            raise HubError("origin_forbidden", "Add this page's origin to HUB_ALLOWED_ORIGINS.")
        tickets = websocket.query_params.getlist("ticket")
        tokens = [
            *tickets,
            *websocket.query_params.getlist("token"),
            *from_subprotocols(websocket.scope["subprotocols"]),
            *from_headers(websocket.headers.getlist("authorization")),
        ]
        only = only_token(tokens)
        return redeem(only) if tickets else await admit(authenticate, only)
    except HubError as refusal:
        return refusal


def _enter(hub: Hub, principal: Principal, websocket: WebSocket, link: Link) -> Session:
    query = websocket.query_params
    topics = [model.topic(name) for given in query.getlist("topics") for name in given.split(",") if name]
    client = model.client_id(query["client"]) if "client" in query else secrets.token_urlsafe(12)
    return hub.open(
        principal, link, client=client, address=address(websocket), topics=topics, after=query.get("after") or None
    )


def _origin_allowed(websocket: WebSocket, allowed: Collection[str]) -> bool:
    """Browsers tell their page's origin (RFC 6455, 10.2), and cannot lie about it; others need not tell one."""
    origin = websocket.headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return True
    try:
        return urlsplit(origin).netloc == websocket.headers.get("host")
    except ValueError:  # Such as "http://[": no browser says that.
        return False


def _origin_note(websocket: WebSocket, refusal: HubError) -> str:
    return f" {websocket.headers['origin'][:200]!r}" if refusal.code == "origin_forbidden" else ""
