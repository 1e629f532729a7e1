"""What a client may ask for over its connection, and what it is answered; see docs/protocol.md, section 3."""

from __future__ import annotations

from typing import assert_never

from hub import model, tenancy, wire
from hub.errors import HubError
from hub.hub import Hub
from hub.model import Topic
from hub.session import Session
from hub.transports.credentials import Authenticate, admit


class Dialogue:
    """Carries out the frames of clients, one after the other for each of them."""

    def __init__(self, hub: Hub, authenticate: Authenticate) -> None:
        self._hub = hub
        self._authenticate = authenticate

    async def answer(self, session: Session, text: str | None) -> wire.Frame | None:
        """Carry out a frame (None: one that was not text); what to answer, also if it is to be refused."""
        try:
            if text is None:
                raise HubError("frame_invalid", "Frames are JSON text; this one was binary.", ref=None)
            request = wire.parse_request(text)
        except HubError as refusal:
            return wire.error(refusal.extra.get("ref"), refusal)
        try:
            return await self._carry_out(session, request)
        except HubError as refusal:
            return wire.error(None if isinstance(request, wire.Ack) else request.ref, refusal)

    async def _carry_out(self, session: Session, request: wire.Request) -> wire.Frame | None:
        hub = self._hub
        match request:
            case wire.Subscribe():
                hub.subscribe(session, [model.topic(name, session.principal.tenant) for name in request.topics])
                return self._standing(session, request.ref)
            case wire.Unsubscribe():
                tenant = session.principal.tenant
                hub.unsubscribe(session, [Topic(tenancy.join(tenant, name)) for name in request.topics])
                return self._standing(session, request.ref)
            case wire.Publish():
                exclude = () if request.echo else (session.own_name,)
                [receipt] = await hub.publish(session.principal, [request.event], exclude=exclude)
                return wire.published(request.ref, receipt, hub.engine.epoch)
            case wire.Auth():
                hub.renew(session, await admit(self._authenticate, request.token))
                return wire.ok(request.ref, expires=session.principal.expires, topics=wire.shown(session.topics))
            case wire.Ack():
                session.acked = str(model.Cursor.parse(request.cursor))
                return None
            case wire.Ping():
                return wire.ok(request.ref)
            case _:
                assert_never(request)

    def _standing(self, session: Session, ref: wire.Ref) -> wire.Frame:
        return wire.ok(ref, topics=wire.shown(session.topics), cursor=str(self._hub.place(session)))
