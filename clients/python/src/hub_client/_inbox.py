"""A user's inbox: their notifications, newest first, with marks that all of their devices learn of.

Knows calls and models. What the calls promise is said in docs/inbox.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hub_client._calls import Calls
from hub_client._models import Event
from hub_client._portal import Portal


@dataclass(frozen=True, slots=True)
class InboxItem:
    """An event in the inbox, and the user's marks on it."""

    event: Event
    read: bool
    archived: bool


@dataclass(frozen=True, slots=True)
class InboxPage:
    """A page, newest first. Go on with ``after=page.next`` until that is None.

    ``unread`` is that of the whole inbox. ``cursor`` is the place in the log at which all of it is true: a client that
    begins ``after`` it misses nothing.
    """

    items: tuple[InboxItem, ...]
    unread: int
    next: str | None
    cursor: str

    def __iter__(self) -> Iterator[InboxItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> InboxPage:
        """Read the answer of ``GET /v1/inbox``."""
        items = tuple(
            InboxItem(Event.from_frame(item), bool(item["read"]), bool(item["archived"])) for item in value["items"]
        )
        return cls(items, value["unread"], value.get("next"), value["cursor"])


@dataclass(frozen=True, slots=True)
class Marked:
    """What a mark did: how many events it changed, and how many are unread now, at ``cursor``."""

    changed: int
    unread: int
    cursor: str

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Marked:
        """Read the answer of a mark."""
        return cls(value["changed"], value["unread"], value["cursor"])


class AsyncInbox:
    """``AsyncClient.inbox``. Every call may be repeated, and is, while the hub is not there. Services have none.

    Other devices of the user are told of marks by events of the type ``hub.inbox``.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def page(
        self,
        *,
        limit: int = 50,
        after: str | None = None,
        unread: bool | None = None,
        archived: bool | Literal["any"] = False,
        type: str | None = None,
        topic: str | None = None,
    ) -> InboxPage:
        """At most ``limit`` (200) items that are so; ``type`` may be ``order.*``: all that begin so."""
        wanted = {"limit": limit, "after": after, "unread": unread, "archived": archived, "type": type, "topic": topic}
        query = {name: _text(value) for name, value in wanted.items() if value is not None}
        return InboxPage.from_json(await self._calls.get("/v1/inbox", query))

    async def mark_read(self, *ids: str, up_to: str | None = None) -> Marked:
        """Mark the events of these ids, or all up to a cursor (such as a page's), as read."""
        return await self._mark("read", ids, up_to)

    async def mark_unread(self, *ids: str) -> Marked:
        """Mark events as unread."""
        return await self._mark("unread", ids)

    async def archive(self, *ids: str, up_to: str | None = None) -> Marked:
        """Archive the events of these ids, or all up to a cursor."""
        return await self._mark("archive", ids, up_to)

    async def unarchive(self, *ids: str) -> Marked:
        """Take events out of the archive."""
        return await self._mark("unarchive", ids)

    async def _mark(self, action: str, ids: tuple[str, ...], up_to: str | None = None) -> Marked:
        if bool(ids) == (up_to is not None):
            raise ValueError("give ids, or up_to")
        body: dict[str, Any] = {"ids": list(ids)} if ids else {"up_to": up_to}
        return Marked.from_json(await self._calls.post(f"/v1/inbox/{action}", body))


class Inbox:
    """``AsyncInbox`` without ``await``; see there."""

    def __init__(self, inbox: AsyncInbox, portal: Portal) -> None:
        self._inbox = inbox
        self._portal = portal

    def page(
        self,
        *,
        limit: int = 50,
        after: str | None = None,
        unread: bool | None = None,
        archived: bool | Literal["any"] = False,
        type: str | None = None,
        topic: str | None = None,
    ) -> InboxPage:
        """At most ``limit`` items that are so."""
        return self._portal.call(
            lambda: self._inbox.page(limit=limit, after=after, unread=unread, archived=archived, type=type, topic=topic)
        )

    def mark_read(self, *ids: str, up_to: str | None = None) -> Marked:
        """Mark the events of these ids, or all up to a cursor, as read."""
        return self._portal.call(lambda: self._inbox.mark_read(*ids, up_to=up_to))

    def mark_unread(self, *ids: str) -> Marked:
        """Mark events as unread."""
        return self._portal.call(lambda: self._inbox.mark_unread(*ids))

    def archive(self, *ids: str, up_to: str | None = None) -> Marked:
        """Archive the events of these ids, or all up to a cursor."""
        return self._portal.call(lambda: self._inbox.archive(*ids, up_to=up_to))

    def unarchive(self, *ids: str) -> Marked:
        """Take events out of the archive."""
        return self._portal.call(lambda: self._inbox.unarchive(*ids))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
