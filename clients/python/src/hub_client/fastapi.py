"""Publishing from the routes of a FastAPI app (extra ``[fastapi]``), wherever the hub is.

::

    hub = HubPublisher()                                 # HUB_URL, HUB_SERVICE_ID and HUB_SERVICE_SECRET

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        async with hub:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/orders")
    async def order(publisher: Annotated[AsyncPublisher, Depends(hub)]) -> None:
        await publisher.publish("order.paid", {"order": 7}, users=["alice"])

Where a hub is mounted in the same app (``hub.embed``), the very same routes publish without a request.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Self

from fastapi.requests import HTTPConnection

from hub_client._publisher import AsyncPublisher

__all__ = ["HubPublisher"]


class HubPublisher:
    """A dependency that gives an ``AsyncPublisher``: one for the life of the app.

    It publishes over HTTP to ``url`` with ``credentials`` (those of ``AsyncPublisher``); what is not given is read from
    ``HUB_URL``, ``HUB_SERVICE_ID`` and ``HUB_SERVICE_SECRET``, when it is first needed. In an app with a mounted hub it
    publishes there, in process, as ``service:<name>``. Enter it in the app's lifespan, or ``close`` it at the end.
    """

    def __init__(self, url: str | None = None, *, name: str = "app", **credentials: Any) -> None:
        self._url = url
        self._name = name
        self._credentials = credentials
        self._publisher: AsyncPublisher | None = None

    async def __call__(self, connection: HTTPConnection) -> AsyncPublisher:
        """The publisher, for ``Depends``. Raises RuntimeError if there is no hub to publish to."""
        if self._publisher is None:
            self._publisher = self._make(connection.app)
        return self._publisher

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            await publisher.close()

    def _make(self, app: Any) -> AsyncPublisher:
        mounted = getattr(app.state, "hub", None)
        if mounted is not None and self._url is None:
            publisher: AsyncPublisher = mounted.publisher(self._name)
            return publisher
        url = self._url or os.environ.get("HUB_URL")
        if url is None:
            raise RuntimeError("no hub is mounted in this app, and neither url nor HUB_URL says where one is")
        credentials = self._credentials or {
            "service_id": os.environ.get("HUB_SERVICE_ID"),
            "service_secret": os.environ.get("HUB_SERVICE_SECRET"),
        }
        return AsyncPublisher(url, **credentials)
