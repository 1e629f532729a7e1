"""Opening the stream's socket, and reading how it ended. The only module that knows the ``websockets`` library."""

from __future__ import annotations

import logging
import ssl
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from hub_client._address import Address, topic_list
from hub_client._core import Open
from hub_client._frames import decode
from hub_client._http import RETRY_STATUSES, USER_AGENT, problem_code

Ending = tuple[int, str]
"""Close code and reason, as ``Core.closed`` takes them."""

LOST = 1006
"""RFC 6455, 7.4.1: ended without a close frame; for us also: could not be opened."""

_MAX_FRAME = 8 << 20
_OPEN_TIMEOUT = 10
_CLOSE_TIMEOUT = 2

# At DEBUG, websockets logs headers and frames whole, tokens and all; that level is closed, whatever the root logger
# says.
_log = logging.getLogger("hub_client.socket")
_log.setLevel(logging.INFO)
_log.addFilter(lambda record: record.levelno > logging.DEBUG)


class NotOpened(Exception):
    """The socket could not be opened; ``ending`` is what to tell the core."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.ending: Ending = (code, reason)


async def open_socket(address: Address, wanted: Open, token: str, tls: ssl.SSLContext | None) -> ClientConnection:
    """Open the stream; raises ``NotOpened``."""
    query = {"topics": topic_list(wanted.topics), "after": wanted.after or "", "client": wanted.client}
    options: dict[str, Any] = {"ssl": tls} if tls is not None and address.is_secure else {}
    try:
        return await connect(
            address.socket({name: value for name, value in query.items() if value}),
            additional_headers={"Authorization": f"Bearer {token}"},
            subprotocols=["hub.v1"],  # type: ignore[list-item]  # a NewType of str
            compression=None,
            user_agent_header=USER_AGENT,
            proxy=None if address.is_loopback else True,
            open_timeout=_OPEN_TIMEOUT,
            close_timeout=_CLOSE_TIMEOUT,
            max_size=_MAX_FRAME,
            logger=_log,
            **options,
        )
    except InvalidStatus as refusal:
        response = refusal.response
        problem = decode(response.body or b"")
        code = problem_code(problem)
        if code is not None and isinstance(problem, dict) and response.status_code not in RETRY_STATUSES:
            # The hub's own word, as if it had closed with it; anything else is some proxy's.
            raise NotOpened(1008, f"{code}: {problem.get('detail', '')}") from None
        raise NotOpened(LOST, f"HTTP status {response.status_code}") from None
    except (OSError, EOFError, WebSocketException) as error:
        raise NotOpened(LOST, str(error) or type(error).__name__) from error


async def hang_up(socket: ClientConnection) -> None:
    """Close it politely, within two seconds. What still comes in is dropped."""
    closing = socket.loop.create_task(socket.close())
    try:
        # Reading goes on, since the other side's close frame stands behind what it sent before.
        while True:
            await socket.recv()
    except ConnectionClosed:
        pass
    finally:
        await closing


def ending_of(closed: ConnectionClosed) -> Ending:
    """How a connection ended."""
    if closed.rcvd is not None:
        return closed.rcvd.code, closed.rcvd.reason
    if closed.sent is not None and closed.sent.code == 1009:
        # A frame larger than we take; it would come again.
        return 1009, ""
    # Whatever we said ourselves (a ping that was not answered, say), the hub did not.
    return LOST, closed.sent.reason if closed.sent is not None else "connection lost"
