"""What the hub's own server carries out before ASGI: publishing, and the way into the live stream.

These two are what a hub is asked for thousands of times a second. Through uvicorn's request cycle, a task, five layers
of middleware, routing and dependencies, each of them costs several times what the hub does for it. Here are the same
``Publishing`` and ``Door`` that the app's routes use on any other server, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hub.errors import HubError
from hub.model import Principal
from hub.transports import cloudevents
from hub.transports.address import Proxies
from hub.transports.connection import Surroundings
from hub.transports.credentials import Authenticate, from_headers, only_token
from hub.transports.door import Door
from hub.transports.http import PUBLISH_PATH, Publishing
from hub.transports.lobby import Lobby

_PUBLISH = PUBLISH_PATH.encode()
_LEFT_TO_THE_APP = frozenset((b"transfer-encoding", b"expect", b"origin", b"upgrade", cloudevents.BINARY_HEADER))
_CLOUDEVENTS = cloudevents.MEDIA_PREFIX


@dataclass(frozen=True, slots=True)
class Direct:
    """What an HTTP connection needs of the hub.

    ``max_body``: bytes of the largest body that is taken. ``head_timeout``: seconds that a request's head may take.
    ``dead_after``: seconds for which nothing that a stream is sent need be acknowledged.
    """

    authenticate: Authenticate
    publishing: Publishing
    door: Door
    proxies: Proxies
    around: Surroundings
    compression: bool
    max_body: int
    head_timeout: float
    dead_after: float
    lobby: Lobby
    tell: Callable[[HubError], None]
    """Says in the log that requests fail."""

    def takes(self, method: bytes, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether this is a publish as backends send it. What is unusual about one is left to the app.

        So is what a page sends: the browser's questions about origins (CORS) are answered there. So are CloudEvents.
        """
        if url != _PUBLISH or method != b"POST":
            return False
        length = -1
        for name, value in headers:
            if name == b"content-length":
                # As many digits as any length that is taken has, so that no huge number is read.
                length = int(value) if value.isdigit() and len(value) < 12 else -1
            elif name == b"content-type":
                if value[: len(_CLOUDEVENTS)].lower() == _CLOUDEVENTS:
                    return False
            elif name in _LEFT_TO_THE_APP:
                return False
        return 0 <= length <= self.max_body

    def caller(self, headers: Sequence[tuple[bytes, bytes]]) -> Principal:
        """Who calls; raises what ``Authenticate`` raises."""
        return self.authenticate(
            only_token(from_headers([value.decode("latin-1") for name, value in headers if name == b"authorization"]))
        )
