"""``GET /v1/sse`` as a route of the app; see docs/protocol.md, section 3.

The hub's own server lets readers in before ASGI (``arrival``), with the same ``Door``. This is for every other server
that runs the app, and for a request that comes on its connection behind another one that is not answered yet.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from hub import event_stream
from hub.errors import HubError, NotYet
from hub.model import Principal
from hub.transports import door
from hub.transports.asgi_link import AsgiStream
from hub.transports.connection import Surroundings
from hub.transports.credentials import address
from hub.transports.door import Door, Handshake
from hub.transports.lobby import Lobby
from hub.transports.problem import UNAUTHORIZED, render, responses


def router(around: Surroundings, entrance: Door, lobby: Lobby) -> APIRouter:
    """The route, for the composition root."""
    routes = APIRouter()

    @routes.get(
        door.SSE_PATH,
        tags=["events"],
        summary="The live stream as server-sent events",
        description="For a browser's `EventSource`, and for `curl -N`. The token stands in `Authorization`, or else in "
        "`token` or (a ticket) `ticket`; one of them. See docs/protocol.md, section 3.",
        responses={
            200: {
                "description": "Events until the connection ends.",
                "content": {event_stream.MEDIA_TYPE: {"schema": {"type": "string"}}},
            },
            **responses(
                *UNAUTHORIZED, "ticket_invalid", "forbidden", "origin_forbidden", "request_invalid", "topic_invalid",
                "cursor_invalid", "client_invalid", "too_many_topics", "rate_limited", "too_many_connections",
                "overloaded", "restarting",
            ),
        },
    )  # fmt: skip
    async def stream(
        request: Request,
        token: Annotated[str | None, Query(description="An access token, where no header can be given.")] = None,
        ticket: Annotated[str | None, Query(description="One of `POST /v1/auth/ticket`, instead of a token.")] = None,
        topics: Annotated[str, Query(description="Comma-separated, besides what the token follows by itself.")] = "",
        after: Annotated[str | None, Query(description="A cursor to resume from, or `earliest`.")] = None,
        client: Annotated[str | None, Query(description="Names this client; see docs/protocol.md.")] = None,
        last_event_id: Annotated[
            str | None, Header(description="A cursor; wins over `after`. Browsers send it when they reconnect.")
        ] = None,
    ) -> Response:
        # The parameters are declared for the document. `Handshake` reads them, for all servers alike.
        handshake = Handshake(request.scope["query_string"], request.scope["headers"], address(request))
        try:
            lobby.admit(handshake.address)
        except HubError:
            around.hub.counters.refused += 1
            raise
        try:
            caller = entrance.identify(handshake)
        except NotYet as wait:
            caller = await entrance.wait_and_identify(handshake, wait)
        return _Stream(around, entrance, handshake, caller)

    return routes


class _Stream(Response):
    """The answer, which is what there is of the connection."""

    def __init__(
        self, around: Surroundings, entrance: Door, handshake: Handshake, caller: Principal | HubError
    ) -> None:
        super().__init__()
        self._around = around
        self._entrance = entrance
        self._handshake = handshake
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """ASGI. The session begins here, where it is sure to be ended, too."""
        link = AsgiStream(send, receive, self._around)
        try:
            session = self._entrance.let_in(self._handshake, self._caller, link)
        except HubError as refusal:
            await render(refusal)(scope, receive, send)
        else:
            await link.run(session)
