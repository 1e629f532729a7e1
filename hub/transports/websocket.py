"""``GET /v1/ws``: the live stream. A door, then a conversation; see docs/protocol.md, section 3.

A refused connection is accepted and then closed, since a refusal before that reaches browsers as 1006 without a reason.
Only a foreign origin is refused before: it is to learn nothing.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection
from functools import partial
from typing import Any, assert_never
from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket

from hub import model, wire
from hub.errors import HubError
from hub.hub import Hub
from hub.model import Topic
from hub.outbox import Link
from hub.session import Session
from hub.transports.credentials import Authenticate, from_headers, from_subprotocols, only_token
from hub.transports.protocol import EXTENSION

log = logging.getLogger("hub.websocket")


def router(hub: Hub, authenticate: Authenticate, *, allowed_origins: Collection[str]) -> APIRouter:
    """The route, for the composition root."""
    routes = APIRouter()

    @routes.websocket("/v1/ws")
    async def stream(websocket: WebSocket) -> None:
        if not _origin_allowed(websocket, allowed_origins):
            await websocket.close()  # Before accept: HTTP 403.
            return
        link = websocket.scope.get("extensions", {}).get(EXTENSION)
        if link is None:
            raise RuntimeError("The hub needs its own WebSocket protocol class: start it with `hub serve`.")
        offered = websocket.scope["subprotocols"]
        # Browsers fail a handshake that answers their offer with nothing, or with what they did not offer.
        await websocket.accept(wire.PROTOCOL if wire.PROTOCOL in offered else None)
        try:
            session = _enter(hub, authenticate, websocket, link)
        except HubError as refusal:
            hub.counters.refused += 1
            log.info("refused %s: %s", _address(websocket), refusal.code)
            link.close(refusal.kind.close, refusal.close_reason)
            return
        log.info("opened %s for %s from %s", session.id, session.principal.source, session.address)
        end = "cut off"
        try:
            end = await _converse(hub, authenticate, session, websocket)
        except Exception:
            log.exception("%s of %s failed", session.id, session.principal.source)
            hub.dismiss(session, "internal")
        finally:
            link.on_writable = None
            hub.close(session)
            log.info("closed %s of %s: %s", session.id, session.principal.source, end)

    return routes


def _enter(hub: Hub, authenticate: Authenticate, websocket: WebSocket, link: Any) -> Session:
    query = websocket.query_params
    principal = authenticate(
        only_token(
            [
                *query.getlist("token"),
                *from_subprotocols(websocket.scope["subprotocols"]),
                *from_headers(websocket.headers.getlist("authorization")),
            ]
        )
    )
    topics = [model.topic(name) for given in query.getlist("topics") for name in given.split(",") if name]
    client = model.client_id(query["client"]) if "client" in query else secrets.token_urlsafe(12)
    typed: Link = link
    session = hub.open(
        principal, typed, client=client, address=_address(websocket), topics=topics, after=query.get("after") or None
    )
    link.on_writable = partial(_on_writable, hub, session)
    return session


def _on_writable(hub: Hub, session: Session, writable: bool) -> None:
    if writable:
        hub.unblocked(session)
    else:
        hub.blocked(session)


async def _converse(hub: Hub, authenticate: Authenticate, session: Session, websocket: WebSocket) -> str:
    """Answer the client's frames one by one until the connection ends; how it ended, for the log."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            # Without a close frame there is no reason, not even an empty one. The reason may be the client's: quoted.
            return f"{message['code']} {message['reason']!r}" if "reason" in message else "lost"
        # A client that does not read its answers is not read any further.
        if not await session.until_writable():
            return "cut off"
        try:
            text = message.get("text")
            if text is None:
                raise HubError("frame_invalid", "Frames are JSON text; this one was binary.", ref=None)
            request = wire.parse_request(text)
        except HubError as refusal:
            session.outbox.control(wire.error(refusal.extra.get("ref"), refusal))
            continue
        try:
            answer = await _answer(hub, authenticate, session, request)
        except HubError as refusal:
            answer = wire.error(None if isinstance(request, wire.Ack) else request.ref, refusal)
        if answer is not None:
            session.outbox.control(answer)


async def _answer(hub: Hub, authenticate: Authenticate, session: Session, request: wire.Request) -> wire.Frame | None:
    match request:
        case wire.Subscribe():
            hub.subscribe(session, [model.topic(name) for name in request.topics])
            return _standing(hub, session, request.ref)
        case wire.Unsubscribe():
            hub.unsubscribe(session, [Topic(name) for name in request.topics])
            return _standing(hub, session, request.ref)
        case wire.Publish():
            exclude = () if request.echo else (session.client,)
            [receipt] = await hub.publish(session.principal, [request.event], exclude=exclude)
            return wire.ok(request.ref, receipt=wire.receipt_fields(receipt, hub.engine.epoch))
        case wire.Auth():
            hub.renew(session, authenticate(request.token))
            return wire.ok(request.ref, expires=session.principal.expires_at, topics=sorted(session.topics))
        case wire.Ack():
            session.acked = str(model.Cursor.parse(request.cursor))
            return None
        case wire.Ping():
            return wire.ok(request.ref)
        case _:
            assert_never(request)


def _standing(hub: Hub, session: Session, ref: wire.Ref) -> wire.Frame:
    return wire.ok(ref, topics=sorted(session.topics), cursor=str(hub.place(session)))


def _origin_allowed(websocket: WebSocket, allowed: Collection[str]) -> bool:
    """Browsers tell their page's origin (RFC 6455, 10.2), and cannot lie about it; others need not tell one."""
    origin = websocket.headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return True
    try:
        return urlsplit(origin).netloc == websocket.headers.get("host")
    except ValueError:  # Such as "http://[": no browser says that.
        return False


def _address(websocket: WebSocket) -> str:
    return websocket.client.host if websocket.client else "unknown"
