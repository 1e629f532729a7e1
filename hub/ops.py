"""For the person on call: liveness, honest readiness and metrics."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from pydantic import SecretStr

from hub import tenancy
from hub.errors import HubError
from hub.hub import Hub
from hub.inbox.service import Inbox
from hub.metrics import HubCollector
from hub.transports.credentials import Authenticate, admit, from_headers, only_token
from hub.transports.lobby import Lobby
from hub.transports.problem import UNAUTHORIZED, responses

Without = Annotated[
    Literal["database"] | None,
    Query(
        description="What not to look at. Balancers leave out the database, which all hubs share: when it is away, "
        "those who have a token can still connect, to any hub; alerts leave out nothing."
    ),
]


def router(
    hub: Hub,
    inbox: Inbox,
    authenticate: Authenticate,
    metrics_token: SecretStr | None,
    check_identity: Callable[[], Awaitable[None]],
    lobby: Lobby,
) -> APIRouter:
    """The routes, for the composition root. ``check_identity`` raises if nobody could log in now."""
    routes = APIRouter(tags=["operations"])
    # As bytes: of strings, only ASCII can be compared.
    scraper = None if metrics_token is None else metrics_token.get_secret_value().encode()
    registry = CollectorRegistry()
    registry.register(HubCollector(hub, inbox, lobby))
    ProcessCollector(registry=registry)

    @routes.get("/healthz", summary="The process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get(
        "/readyz",
        summary="Publish → log → delivery works, end to end, and people can log in",
        responses=responses("log_unavailable", "database_unavailable", "restarting", "request_invalid"),
    )
    async def readyz(without: Without = None) -> dict[str, str]:
        if hub.draining:
            raise HubError("restarting")
        await hub.engine.probe()
        if without != "database":
            await check_identity()
        return {"status": "ready"}

    @routes.get(
        "/metrics",
        summary="Prometheus metrics",
        response_class=PlainTextResponse,
        responses=responses(*UNAUTHORIZED, "forbidden"),
    )
    async def metrics(request: Request) -> Response:
        token = only_token(from_headers(request.headers.getlist("authorization")))
        static = scraper is not None and secrets.compare_digest(token.encode(), scraper)
        if not static:
            caller = await admit(authenticate, token)
            # They count over all tenants: they are the operator's.
            if not caller.admin or caller.tenant != tenancy.DEFAULT:
                raise HubError("forbidden", "Metrics are for operators and holders of the metrics_token.")
        # OpenMetrics for those who ask for it.
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type)

    return routes
