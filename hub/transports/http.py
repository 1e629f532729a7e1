"""Events over HTTP: publish, read the log, see who is there and who is connected."""

# No postponed annotations here: FastAPI could not resolve those that name a local dependency.
import asyncio
from collections.abc import Awaitable, Coroutine
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, TypeAdapter, ValidationError

from hub import history, model, policy, wire
from hub.errors import HubError
from hub.hub import Hub
from hub.model import Draft, Principal, Receipt
from hub.policy import Action
from hub.publication import Publication
from hub.transports import cloudevents
from hub.transports.credentials import Authenticate, admit, bearer, from_headers, only_token, realm
from hub.transports.problem import UNAUTHORIZED, responses

PUBLISH_PATH = "/v1/events"
MAX_BATCH = 1000
MAX_WAIT = 60.0

_one = TypeAdapter(Publication)
_many = TypeAdapter(list[Publication])


class ReceiptBody(BaseModel):
    """Where an event is."""

    id: str
    cursor: str | None
    time: str
    duplicate: bool


class PresenceBody(BaseModel):
    """Who is in a topic."""

    topic: str
    users: list[str]


class ConnectionBody(BaseModel):
    """One connection, as an operator sees it."""

    id: str
    principal: str
    client: str
    address: str
    opened: str
    topics: list[str]
    state: str
    queued_bytes: int
    pending_bytes: int
    cursor: str
    acked: str | None


class Publishing:
    """``POST /v1/events``: from the body to the receipts."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def __call__(self, publisher: Principal, body: bytes) -> bytes | Awaitable[bytes]:
        """The answer's JSON: at once if nothing has to be on disk first. Raises what ``Hub.publish`` raises."""
        said, single = _parse(body)
        return self.hand_in(publisher, said, single=single)

    def hand_in(self, publisher: Principal, said: list[Publication], *, single: bool) -> bytes | Awaitable[bytes]:
        """The same for what was read already."""
        drafts = self._hub.intake.prepare(publisher, said)
        if any(draft.durable for draft in drafts):
            return self._append(publisher, drafts, single=single)
        return self._encode(self._hub.intake.signal_all(publisher, drafts), single=single)

    async def _append(self, publisher: Principal, drafts: list[Draft], *, single: bool) -> bytes:
        return self._encode(await self._hub.intake.hand_in(publisher, drafts), single=single)

    def _encode(self, receipts: list[Receipt], *, single: bool) -> bytes:
        epoch = self._hub.engine.epoch
        if single:
            return wire.encode_receipt(receipts[0], epoch)
        return b"[%b]" % b",".join([wire.encode_receipt(receipt, epoch) for receipt in receipts])


def router(hub: Hub, authenticate: Authenticate, publishing: Publishing) -> APIRouter:
    """The routes, for the composition root."""
    routes = APIRouter(prefix="/v1", tags=["events"])
    principal = bearer(authenticate)
    caller = Annotated[Principal, Depends(principal)]
    administered = Annotated[str, Depends(realm(principal))]

    @routes.post(
        PUBLISH_PATH.removeprefix("/v1"),
        summary="Publish one event, or an array of up to 1,000 (all or none)",
        description="Answers once every durable event is on disk. Give `id` to make the call safe to repeat. "
        "Who publishes too much is answered 429 `rate_limited`, with `Retry-After`.\n\n"
        "CloudEvents 1.0 are taken in structured, batched and binary mode (`ce-…` headers; any content type). They "
        "name their targets in the extension attributes `hubusers`, `hubtopics` (commas between) and `huball`, or the "
        "query does: `?topics=orders`. `hubdurable`, `hubttl`, `hubcollapsekey`, `hubpriority` and `hubexclude` "
        "say the rest.",
        responses={
            200: {"content": {"application/json": {"schema": _receipt_schema()}}},
            **responses(
                *UNAUTHORIZED, "forbidden", "event_invalid", "topic_invalid", "client_invalid", "event_too_large",
                "request_too_large", "media_type_unsupported", "id_conflict", "rate_limited", "log_unavailable",
            ),
        },
        openapi_extra={"requestBody": {"required": True, "content": _body_contents()}},
    )  # fmt: skip
    async def publish(request: Request, publisher: caller) -> Response:
        # The hub's own server answers most of these before ASGI: see ``direct``.
        body = await request.body()
        if cloudevents.is_meant(request.headers.raw):
            said, single = cloudevents.parse(request.headers.raw, request.query_params, body)
            answer = publishing.hand_in(publisher, said, single=single)
        else:
            answer = publishing(publisher, body)
        return Response(answer if isinstance(answer, bytes) else await answer, media_type="application/json")

    @routes.get(
        "/events",
        summary="Read the log, or wait for what is next",
        description="With `Accept: application/cloudevents-batch+json` the events are CloudEvents 1.0, and `cursor`, "
        "`more` and `reset` stand in the headers `Hub-Cursor`, `Hub-More` and `Hub-Reset`.",
        responses={
            200: {
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/HistoryBody"}},
                    cloudevents.BATCH: {"schema": {"type": "array", "items": {"type": "object"}}},
                }
            },
            **responses(*UNAUTHORIZED, "forbidden", "topic_invalid", "cursor_invalid", "request_invalid",
                        "log_unavailable"),
        },
    )  # fmt: skip
    async def read(
        request: Request,
        reader: caller,
        topics: Annotated[str, Query(description="Comma-separated; default: what the token follows by itself.")] = "",
        after: Annotated[
            str | None, Query(description="A cursor, or `earliest`. Without it: the newest `limit` events.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        wait: Annotated[float, Query(ge=0, le=MAX_WAIT, description="Seconds to wait if there is nothing yet.")] = 0,
    ) -> Response:
        names = list(dict.fromkeys(model.topic(name, reader.tenant) for name in topics.split(",") if name))
        policy.require(reader, Action.HISTORY, names)
        if len(names) > MAX_BATCH:
            raise HubError("too_many_topics")
        wanted = names or policy.automatic_topics(reader)
        reading = history.read(hub, wanted, after=after, limit=limit, wait=wait)
        if not wait:
            body = await reading
        else:
            body = await _while_connected(request, reading)
            # What came meanwhile is not for whoever was logged out meanwhile.
            await admit(authenticate, only_token(from_headers(request.headers.getlist("authorization"))))
        if cloudevents.is_wanted(request.headers.getlist("accept")):
            batch, place = cloudevents.render(body)
            return Response(batch, media_type=cloudevents.BATCH, headers=place)
        return Response(body, media_type="application/json")

    @routes.get(
        "/presence/{topic:path}",
        summary="Who is in a topic",
        responses=responses(*UNAUTHORIZED, "forbidden", "topic_invalid", "not_found"),
    )
    async def presence(topic: str, reader: caller) -> PresenceBody:
        name = model.topic(topic, reader.tenant)
        policy.require(reader, Action.PRESENCE, [name])
        if not hub.presence.is_on(name):
            raise HubError(
                "not_found", f"Presence is not on for {topic!r}; the setting presence_topics says where it is."
            )
        return PresenceBody(topic=topic, users=wire.shown(hub.engine.members(name)))

    @routes.get(
        "/connections",
        tags=["administration"],
        summary="Who is connected to this node",
        description="Those of one tenant: the caller's own, or the one that an operator names.",
        responses=responses(*UNAUTHORIZED, "forbidden", "request_invalid"),
    )
    async def connections(
        tenant: administered,
        user: Annotated[str | None, Query(description="Only those of this user or service.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[ConnectionBody]:
        return [
            ConnectionBody(
                id=session.id,
                principal=session.principal.shown_source,
                client=session.client,
                address=session.address,
                opened=model.timestamp(session.opened_at),
                topics=wire.shown(session.topics),
                state=session.outbox.state.value,
                queued_bytes=session.outbox.queued_bytes,
                pending_bytes=session.link.pending(),
                cursor=str(hub.place(session)),
                acked=session.acked,
            )
            for session in islice(
                (s for s in hub.registry if s.principal.tenant == tenant and user in (None, s.principal.name)), limit
            )
        ]

    return routes


async def _while_connected(request: Request, answer: Coroutine[Any, Any, bytes]) -> bytes:
    """The answer; given up, and empty, once its client is gone: nothing is held for a long time for nobody."""
    work, gone = asyncio.create_task(answer), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        gone.result()  # Raises if it was a body over the limit that ended the request.
        return b""
    finally:
        gone.cancel()
        work.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _parse(body: bytes) -> tuple[list[Publication], bool]:
    """One event or an array; whether it was one. Read by pydantic from the bytes, since that is the hot path."""
    try:
        if body.lstrip()[:1] != b"[":
            return [_one.validate_json(body)], True
        said = _many.validate_json(body)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False, include_context=False)[0]
        extra = {"index": first["loc"][0]} if first["loc"] and isinstance(first["loc"][0], int) else {}
        raise HubError("event_invalid", wire.explain(problem), **extra) from None
    if not 1 <= len(said) <= MAX_BATCH:
        raise HubError("event_invalid", f"An array holds 1 to {MAX_BATCH} events, this one {len(said)}.")
    return said, False


def _body_contents() -> dict[str, Any]:
    one = {"$ref": "#/components/schemas/Publication"}
    cloud = {"$ref": "#/components/schemas/CloudEventBody"}
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_BATCH}
    return {
        "application/json": {"schema": {"oneOf": [one, many]}},
        cloudevents.STRUCTURED: {"schema": cloud},
        cloudevents.BATCH: {"schema": {"type": "array", "items": cloud, "maxItems": MAX_BATCH}},
    }


def _receipt_schema() -> dict[str, Any]:
    one = {"$ref": "#/components/schemas/ReceiptBody"}
    return {"oneOf": [one, {"type": "array", "items": one}]}


class HistoryEntry(BaseModel):
    """An event and its place."""

    cursor: str
    topic: str
    event: dict[str, Any]


class HistoryBody(BaseModel):
    """A piece of the log."""

    events: list[HistoryEntry]
    cursor: str
    reset: bool
    more: bool
