"""``/v1/inbox``: a user's notifications and what they say of them (docs/inbox.md)."""

# No postponed annotations here: FastAPI could not resolve those that name a local dependency.
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from hub import model, tenancy
from hub.errors import HubError
from hub.inbox.marks import Action
from hub.inbox.pages import Wanted
from hub.inbox.service import Inbox, Marked, Page
from hub.model import Principal
from hub.transports.credentials import PrincipalDependency
from hub.transports.problem import UNAUTHORIZED, responses

_CODES = (*UNAUTHORIZED, "forbidden", "request_invalid", "cursor_invalid", "database_unavailable", "log_unavailable",
          "overloaded")  # fmt: skip
_MARK_CODES = (*_CODES, "rate_limited", "request_too_large")
_Id = Annotated[str, Field(min_length=1, max_length=128)]
_Place = Annotated[str, Field(max_length=64, description="A cursor: everything up to it, itself included.")]


class InboxItem(BaseModel):
    """An event in an inbox."""

    cursor: str
    topic: str
    event: dict[str, Any]
    read: bool
    archived: bool


class InboxPage(BaseModel):
    """Some of an inbox, the newest first."""

    items: list[InboxItem]
    unread: int = Field(description="Of the whole inbox, whatever was asked for; what is archived does not count.")
    next: str | None = Field(description="Give it as `after` for the next page; null: there is none.")
    cursor: str = Field(description="The place in the log that all this is true at: the stream goes on from there.")


class MarkBody(BaseModel):
    """What was changed."""

    changed: int = Field(description="Events that it was not so of before; with `up_to`, by how many `unread` fell.")
    unread: int
    cursor: str


class Ids(BaseModel):
    """Of which events."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[_Id], Field(min_length=1, max_length=1000, description="Events' ids.")]


class IdsOrUpTo(BaseModel):
    """Of which events: one of the two."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[_Id], Field(min_length=1, max_length=1000, description="Events' ids.")] | None = None
    up_to: _Place | None = None


def router(inbox: Inbox, principal: PrincipalDependency) -> APIRouter:
    """The routes; ``principal`` is a dependency that finds the caller."""
    routes = APIRouter(prefix="/v1/inbox", tags=["inbox"])
    caller = Annotated[Principal, Depends(principal)]

    @routes.get(
        "",
        summary="Read my inbox, the newest first",
        description="The durable events of my own topic, of `all` and of the topics my token carries, without those "
        "past their time and those that a newer one with the same `collapse_key` has replaced. It has everything that "
        "was acknowledged before the request. A page may have fewer than `limit` items and still a `next`.",
        responses={
            200: {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/InboxPage"}}}},
            **responses(*_CODES, "topic_invalid"),
        },
    )
    async def read(
        reader: caller,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        after: Annotated[str | None, Query(max_length=64, description="The `next` of the page before.")] = None,
        unread: Annotated[
            bool | None, Query(description="Only those that are unread, or only those that are read.")
        ] = None,
        archived: Annotated[
            Literal["true", "false", "any"], Query(description="Only those that are not archived, or are, or all.")
        ] = "false",
        type: Annotated[
            str | None, Query(max_length=128, description="Such as `order.paid`; `order.*` are all that begin so.")
        ] = None,
        topic: Annotated[str | None, Query(max_length=300, description="Only those of this topic.")] = None,
    ) -> Response:
        wanted = Wanted(
            read=None if unread is None else not unread,
            archived={"true": True, "false": False, "any": None}[archived],
            type=type,
            topic=None if topic is None else model.topic(topic, reader.tenant),
        )
        return Response(
            _encode(await inbox.read(reader, wanted, after=after, limit=limit)), media_type="application/json"
        )

    @routes.post("/read", summary="Mark events as read", responses=responses(*_MARK_CODES))
    async def mark_read(reader: caller, said: IdsOrUpTo) -> MarkBody:
        return _answer(await inbox.mark(reader, Action.READ, **_one_of(said)))

    @routes.post("/unread", summary="Mark events as unread", responses=responses(*_MARK_CODES))
    async def mark_unread(reader: caller, said: Ids) -> MarkBody:
        return _answer(await inbox.mark(reader, Action.UNREAD, ids=said.ids))

    @routes.post("/archive", summary="Archive events", responses=responses(*_MARK_CODES))
    async def archive(reader: caller, said: IdsOrUpTo) -> MarkBody:
        return _answer(await inbox.mark(reader, Action.ARCHIVE, **_one_of(said)))

    @routes.post("/unarchive", summary="Take events out of the archive", responses=responses(*_MARK_CODES))
    async def unarchive(reader: caller, said: Ids) -> MarkBody:
        return _answer(await inbox.mark(reader, Action.UNARCHIVE, ids=said.ids))

    return routes


def _one_of(said: IdsOrUpTo) -> dict[str, Any]:
    if (said.ids is None) == (said.up_to is None):
        raise HubError("request_invalid", "Give ids or up_to, one of them.")
    return {"ids": said.ids, "up_to": said.up_to}


def _answer(marked: Marked) -> MarkBody:
    return MarkBody(changed=marked.changed, unread=marked.unread, cursor=str(marked.cursor))


def _encode(page: Page) -> bytes:
    """``InboxPage``; the events are JSON already."""
    items = [
        b'{"cursor":"%b:%d","topic":"%b","event":%b,"read":%b,"archived":%b}'
        % (
            page.cursor.epoch.encode(),
            item.seq,
            tenancy.local(item.topic).encode(),
            item.body,
            b"true" if item.read else b"false",
            b"true" if item.archived else b"false",
        )
        for item in page.items
    ]
    return b'{"items":[%b],"unread":%d,"next":%b,"cursor":"%b"}' % (
        b",".join(items),
        page.unread,
        b"null" if page.next is None else b'"%b"' % str(page.next).encode(),
        str(page.cursor).encode(),
    )
