"""``GET /v1/ws`` as a route of the app; see docs/protocol.md, section 3.

The hub's own server lets clients in before ASGI (``direct``), with the same ``Door``. This is for every other server
that runs the app, and for whoever asks for the address without being a WebSocket.
"""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from hub.errors import HubError, NotYet
from hub.transports import door
from hub.transports.asgi_link import AsgiSocket
from hub.transports.connection import Surroundings
from hub.transports.credentials import address
from hub.transports.door import Door, Handshake
from hub.transports.lobby import Lobby
from hub.transports.problem import render, responses


def router(around: Surroundings, entrance: Door, lobby: Lobby) -> APIRouter:
    """The route, for the composition root."""
    routes = APIRouter()

    @routes.websocket(door.PATH)
    async def stream(websocket: WebSocket) -> None:
        scope = websocket.scope
        headers = list(scope["headers"])
        offered = ", ".join(scope.get("subprotocols") or ()).encode("latin-1")
        if offered and not any(name == b"sec-websocket-protocol" for name, _ in headers):
            headers.append((b"sec-websocket-protocol", offered))  # Some servers give them only apart.
        handshake = Handshake(scope["query_string"], headers, address(websocket))
        try:
            lobby.admit(handshake.address)
        except HubError as refusal:
            around.hub.counters.refused += 1
            if "websocket.http.response" in scope.get("extensions", {}):
                await websocket.send_denial_response(render(refusal))
            else:  # Which becomes a 403: the server cannot say more.
                await websocket.close(refusal.kind.close)
            return
        try:
            caller = entrance.identify(handshake)
        except NotYet as wait:
            caller = await entrance.wait_and_identify(handshake, wait)
        await websocket.accept(handshake.subprotocol)
        link = AsgiSocket(websocket.send, websocket.receive, around)
        await link.run(entrance.enter(handshake, caller, link))

    @routes.get(
        door.PATH,
        tags=["events"],
        summary="The live stream: connect with a WebSocket",
        description="See docs/protocol.md for what it takes and says. A plain GET is told so.",
        status_code=101,
        responses=responses("upgrade_required"),
    )
    async def no_stream() -> None:
        raise HubError("upgrade_required", "Connect with a WebSocket: new WebSocket('ws://…/v1/ws?token=…').")

    return routes
