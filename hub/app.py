"""The composition root: the only module that knows all others. It puts a hub together from its settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema
from starlette.middleware.cors import CORSMiddleware

from hub import data_directory, engine_choice, logs, ops, overview
from hub.allowance import PublishRates
from hub.drain import drain
from hub.hub import Hub, Limits
from hub.identity import routes as identity_routes
from hub.identity.service import Identity
from hub.inbox import routes as inbox_routes
from hub.inbox.service import Inbox
from hub.publication import Publication
from hub.settings import Settings, load
from hub.transports import cloudevents, door, http, pages, problem, sse, websocket
from hub.transports.address import ProxiedClient, Proxies
from hub.transports.connection import Surroundings
from hub.transports.credentials import bearer
from hub.transports.dialogue import Dialogue
from hub.transports.direct import Direct
from hub.transports.door import Door
from hub.transports.lobby import Lobby
from hub.transports.middleware import BodyLimit, SecurityHeaders
from hub.transports.request_id import RequestIds

MAX_FRAME = 64 * 1024
"""Largest message of a client over its socket, in bytes; a publication has to fit."""


def create() -> FastAPI:
    """A whole hub with the settings of the environment, for another ASGI server: ``uvicorn --factory hub.app:create``.

    One process of it: another one on the same data directory refuses to start. Raises ``SettingsError``.
    """
    settings = load()
    logs.configure(settings.log_level, settings.log_format)
    return Application(settings).app


class Application:
    """A hub that can be served: ``app`` (ASGI), ``hub`` and ``identity``.

    The app starts and stops all of it in its lifespan. The hub's own server does that by itself (``running``), since it
    has to say why a hub cannot start, and leaves the lifespan out.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        engine = engine_choice.make(settings)
        self.limits = limits = Limits(
            max_event_bytes=settings.max_event_bytes,
            max_connections=settings.max_connections,
            max_topics=settings.max_topics,
            outbox_bytes=settings.outbox_bytes,
            recent_bytes=settings.recent_bytes,
            stall_timeout=settings.stall_timeout,
            cursor_interval=settings.cursor_interval,
            ping_interval=settings.ping_interval,
            connections_user=settings.connections_user,
            connections_address=settings.connections_address,
            publish_users=PublishRates(settings.publish_events_user, settings.publish_bytes_user),
            publish_others=PublishRates(settings.publish_events_service, settings.publish_bytes_service),
        )
        self.identity = Identity(settings, on_change=self._review)
        self._proxies = Proxies(settings.trusted_proxies)
        self.hub = Hub(
            engine,
            limits,
            presence_topics=settings.presence_topics,
            presence_grace=settings.presence_grace,
            on_admin_publish=self.identity.notes.published,
            is_proxy=self._proxies.trusts,
        )
        self.inbox = Inbox(self.hub, self.identity.store)
        authenticate = self.identity.authenticate
        self.connections: set[Any] = set()
        """Those that the hub's own server holds: uvicorn waits for them, and shuts them down, when it stops."""
        self._around = Surroundings(
            self.hub, Dialogue(self.hub, authenticate).answer, self.connections, MAX_FRAME, settings.frame_rate
        )
        self._door = Door(self.hub, authenticate, self.identity.tickets.redeem, settings.allowed_origins)
        self.publishing = http.Publishing(self.hub)
        """For those in this process."""
        self._tell = problem.Teller()
        self._lobby = Lobby(settings.handshakes_waiting, settings.handshakes_address, self._proxies.trusts)
        self.app = self._build()

    def direct(self) -> Direct:
        """What the hub's own server needs to carry out the busiest calls by itself."""
        settings = self.settings
        return Direct(
            self.identity.authenticate,
            self.publishing,
            self._door,
            self._proxies,
            self._around,
            compression=settings.compression,
            max_body=settings.max_request_bytes,
            head_timeout=settings.head_timeout,
            # Later than the sweeper finds that one who is there takes nothing, which is another thing.
            dead_after=settings.ping_interval + settings.stall_timeout,
            lobby=self._lobby,
            tell=self._tell,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Identity and hub, started and, whatever happens, stopped. Raises ``OSError`` or ``HubError``."""
        try:
            await self.identity.start()
            await self.hub.start()
            try:
                await self.inbox.start()
                yield
            finally:
                await self.inbox.stop()
                await self.hub.stop()
        finally:
            await self.identity.stop()

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """What ``hub serve`` does around it."""
        with data_directory.held(self.settings.data_dir):
            async with self.running():
                password = await self.identity.bootstrap()
                if password is not None:
                    print(
                        f"log in as {self.settings.admin_username}, password {password} (shown this once)", flush=True
                    )
                yield
                # Those whom the server has not sent away already.
                await drain(self.hub, self.settings.drain_timeout)

    def _review(self, subjects: Set[str] | None) -> None:
        self.hub.review(self.identity.review, subjects)

    def _build(self) -> FastAPI:
        settings = self.settings
        app = FastAPI(
            title="Notification hub",
            version="1",
            summary="POST an event; every user it is meant for gets it, live, in order, once.",
            docs_url=None,
            redoc_url=None,
            lifespan=self._lifespan,
        )
        authenticate = self.identity.authenticate
        principal = bearer(authenticate)
        problem.install(app, self._tell)
        app.include_router(identity_routes.router(self.identity, principal))
        app.include_router(inbox_routes.router(self.inbox, principal))
        app.include_router(http.router(self.hub, authenticate, self.publishing))
        app.include_router(websocket.router(self._around, self._door, self._lobby))
        app.include_router(sse.router(self._around, self._door, self._lobby))
        app.include_router(
            ops.router(self.hub, self.inbox, authenticate, settings.metrics_token, self.identity.check, self._lobby)
        )
        app.include_router(overview.router(self.hub, principal))
        pages.install(app)
        app.add_middleware(BodyLimit, limit=settings.max_request_bytes, large_paths=(http.PUBLISH_PATH,))
        app.add_middleware(SecurityHeaders)
        if settings.allowed_origins:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=settings.allowed_origins,
                allow_methods=["GET", "POST", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
                expose_headers=door.EXPOSED,
            )
        app.add_middleware(ProxiedClient, proxies=self._proxies)
        app.add_middleware(RequestIds)
        _describe(app)
        return app


def _describe(app: FastAPI) -> None:
    """Add the models of bodies that the routes read and write by themselves to the OpenAPI document."""
    models = (
        Publication, cloudevents.CloudEventBody, http.ReceiptBody, http.HistoryBody, inbox_routes.InboxPage,
        problem.Problem,
    )  # fmt: skip
    _, schema = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document["components"]["schemas"] |= schema["$defs"]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
