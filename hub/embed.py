"""A hub inside another FastAPI (or Starlette) app: one process, one port, and publishing without a request.

::

    hub = EmbeddedHub(data_dir="data")
    app = FastAPI(lifespan=hub.lifespan)
    hub.mount(app, "/hub")
    publisher = hub.publisher("shop")

The clients are given ``https://app.example.com/hub`` as the hub's address. Everything is promised that the hub promises
on another ASGI server than its own; one worker, since each process would be a hub of its own (a second one on the same
data directory refuses to start). The console's page is not for use below a path.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from hub_client import AsyncPublisher
from starlette.applications import Starlette

from hub.app import Application
from hub.hub import Hub
from hub.in_process import InProcessPublisher
from hub.model import Grants, topic
from hub.settings import Settings, load

_EVERYTHING = ("*", "user:*", "all")


class EmbeddedHub:
    """A hub to be mounted. ``settings``: all of them; otherwise those of the environment and ``hub.toml``, and
    ``overrides`` (``data_dir="…"``) before both. Raises ``SettingsError``."""

    def __init__(self, settings: Settings | None = None, **overrides: Any) -> None:
        self.settings = load(**overrides) if settings is None else settings
        self._application = Application(self.settings)

    @property
    def hub(self) -> Hub:
        """The hub itself."""
        return self._application.hub

    def mount(self, app: Starlette, path: str = "/hub") -> None:
        """Put the hub's HTTP API, its streams and its browser client below ``path``."""
        if not path.startswith("/") or not path.strip("/"):
            raise ValueError("the hub's path is to be one of its own, such as /hub")
        app.mount(path, self._application.app, name="hub")
        app.state.hub = self

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the hub, and stop it: clients are sent away first, and come back. For a lifespan that does more."""
        app = self._application.app
        async with app.router.lifespan_context(app):
            yield

    @asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """``running``, as an app takes it for its lifespan."""
        async with self.running():
            yield

    def token(
        self,
        user: str,
        *,
        subscribe: Sequence[str] = (),
        publish: Sequence[str] = (),
        topics: Sequence[str] = (),
        service: bool = False,
    ) -> str:
        """An access token for a user whom your app has logged in: for the client's ``tokenProvider``.

        ``subscribe`` and ``publish`` are patterns of what they may do besides reading their own topic and ``all``;
        ``topics`` they follow without asking. It lives for ``access_ttl`` (15 minutes); the user needs no account at
        the hub. ``service``: it is for a backend. The hub has to be running. Raises ``HubError`` for what is no id,
        pattern or topic.
        """
        grants = Grants(tuple(subscribe), tuple(publish))
        kind: Literal["user", "service"] = "service" if service else "user"
        return self._application.identity.hand_out(user, grants, tuple(map(topic, topics)), kind).token

    def publisher(self, name: str = "app", *, publish: Sequence[str] = _EVERYTHING) -> AsyncPublisher:
        """A publisher without a request and without a token, which publishes as ``service:<name>``.

        It may publish to the topics that match ``publish``; whoever has this object has these rights. Other than that
        it is the client's: same arguments, receipts and errors, buffer and outbox included.
        """
        return InProcessPublisher(self._application.publishing, name, tuple(publish))
