"""``AsyncClient``: receive events, in order, each once, across lost connections; publish and ask on the side."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, overload
from urllib.parse import quote

from hub_client._address import topic_list
from hub_client._auth import TokenCallable
from hub_client._calls import Calls
from hub_client._core import Core, Output, Settle, State
from hub_client._errors import PublishFailed, Refused, Rejected, Unavailable
from hub_client._frames import encode
from hub_client._handover import Callback, Events, Handover
from hub_client._inbox import AsyncInbox
from hub_client._models import (
    Event,
    History,
    Identity,
    Json,
    NewEvent,
    Presence,
    Priority,
    Receipt,
    Reset,
    check_client,
    check_topics,
    names,
    said,
    type_name,
)
from hub_client._notices import Notices
from hub_client._retry import Doubt, Retry
from hub_client._runtime import Runtime
from hub_client._signal import Signal

T = TypeVar("T")

# Refusals on the socket after which the same request may work later: those of the hub's table that say so.
_LATER = frozenset(
    {
        "rate_limited",
        "log_unavailable",
        "database_unavailable",
        "issuer_unavailable",
        "overloaded",
        "restarting",
        "internal",
    }
)


class AsyncClient:
    """A subscriber, and a publisher on the side.

    ::

        async with AsyncClient("https://hub.example.com", username="alice", password=…, topics=["room:1"]) as client:
            async for event in client:
                print(event.type, event.data)

    Give one of: ``username`` and ``password``; ``service_id`` and ``service_secret``; ``token``, a string, or a
    function (plain or async) that returns a fresh one. ``topics`` come on top of those that the token subscribes by
    itself (a user's own, and ``all``). ``after`` is the cursor to resume from: store ``client.cursor`` after an event
    was handled, give it back in the next run, and nothing is lost or seen twice. Without it a client begins now;
    ``"earliest"`` begins with all that is retained. ``client_id`` (8-64 of ``A-Z a-z 0-9 _ -``) names this process to
    the hub, which does not send it what it published itself; one is made up otherwise.

    Events wait in memory until somebody listens, up to ``buffer_bytes``; then the socket is not read any further, and
    the hub keeps them. ``open_timeout``: seconds that entering waits for the first connection, None for ever.
    ``timeout``: seconds that requests are tried for. ``tls``: for ``https`` with certificates of one's own.

    Callbacks and loop bodies may await everything here. Instances belong to the event loop that they are entered on.
    The state machine and the retry rules are those of docs/protocol.md, sections 4 and 5.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | TokenCallable | None = None,
        service_id: str | None = None,
        service_secret: str | None = None,
        topics: Iterable[str] = (),
        after: str | None = None,
        client_id: str | None = None,
        open_timeout: float | None = 30,
        timeout: float = 10,
        buffer_bytes: int = 1 << 20,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if buffer_bytes < 1:
            raise ValueError("buffer_bytes must be positive, or nothing would ever be read")
        if after == "":
            raise ValueError("after is a cursor, 'earliest', or None for now; an empty one was lost somewhere")
        self._calls = Calls(
            url,
            retry=Retry(timeout),
            tls=tls,
            username=username,
            password=password,
            token=token,
            service_id=service_id,
            service_secret=service_secret,
        )
        self._open_timeout = open_timeout
        self._core = Core(check_client(client_id), check_topics(names(topics)), after)
        changed = Signal()
        self._handover = Handover(after, changed)
        self._notices = Notices(changed)
        self._runtime = Runtime(
            self._core, self._calls, self._handover, self._notices, changed, limit=buffer_bytes, tls=tls
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._closers: set[asyncio.Task[Any] | None] = set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._calls.address.base} {self.state.value}>"

    # --- Life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Connect. Raises ``Rejected``, or ``Unavailable`` after ``open_timeout`` (and then has closed itself)."""
        if self._tasks:
            raise RuntimeError("a client is started once")
        self._tasks = [
            asyncio.create_task(work, name=f"hub-client-{name}")
            for name, work in (
                ("runtime", self._runtime.run()),
                ("events", self._handover.run()),
                ("notices", self._notices.run()),
            )
        ]
        try:
            async with asyncio.timeout(self._open_timeout):
                await self._runtime.until_first_open()
        except TimeoutError:
            cause = self._runtime.cause
            await self.close()
            raise Unavailable(f"no connection within {self._open_timeout} s: {cause}", maybe_done=False) from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End: the socket is closed, iterators end, what runs in a callback is cancelled. Safe to call twice.

        May be called from a callback, which then is not cancelled, but waited for by whoever else closes.
        """
        self._runtime.stop()
        self._handover.end()
        self._notices.end()
        me = asyncio.current_task()
        if me in self._tasks:
            self._closers.add(me)
        for task in self._tasks:
            # Once: a second time would cut off the polite close of the socket.
            if task not in self._closers and not task.cancelling():
                task.cancel()
        # Two callbacks that close at once must not wait for each other.
        others = [task for task in self._tasks if task not in (self._closers if me in self._closers else ())]
        try:
            if others:
                await asyncio.wait(others)
        finally:
            await self._calls.close()

    async def wait_stopped(self) -> None:
        """Wait until the client has stopped and callbacks had what came before; raises why, unless it was ``close``.

        For programs that live in callbacks.
        """
        await self._handover.changed.until(lambda: self.state is State.STOPPED and self._handover.is_drained())
        if self._runtime.error is not None:
            raise self._runtime.error

    @property
    def state(self) -> State:
        """Where the client is."""
        return self._core.state

    @property
    def cursor(self) -> str | None:
        """Where to resume, as ``after``. Moves past an event when that is handed over, never before."""
        return self._handover.cursor

    @property
    def client_id(self) -> str:
        """This client's name to the hub."""
        return self._core.client

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics of the connection, as the hub last told them."""
        return self._runtime.topics

    # --- Receiving

    def events(self) -> Events:
        """An iterator over the events from here on."""
        return self._handover.events()

    def __aiter__(self) -> Events:
        return self.events()

    @overload
    def on(self, type: str | type[Any]) -> Callable[[Callback[Event]], Callback[Event]]: ...
    @overload
    def on(self, type: str | type[Any], callback: Callback[Event]) -> Callback[Event]: ...
    def on(self, type: str | type[Any], callback: Callback[Event] | None = None) -> Any:
        """Call back, one event after the other, for events of this type (``*``: of all). Also a decorator.

        The type may be a class that was registered for one (see ``hub_client.typed``, and ``Event.read``).

        What a callback raises is logged, and the next event follows.
        """
        if callback is None:
            return lambda function: self.on(type, function)
        self._handover.on(type_name(type), callback)
        return callback

    def off(self, type: str | type[Any], callback: Callback[Event]) -> None:
        """Undo ``on``. Raises ValueError if there is nothing to undo."""
        self._handover.off(type_name(type), callback)

    def on_reset(self, callback: Callback[Reset]) -> Callback[Reset]:
        """Call back where events are missing, in their place between the others."""
        self._handover.on_reset(callback)
        return callback

    def on_presence(self, callback: Callback[Presence]) -> Callback[Presence]:
        """Call back when somebody comes to a topic or leaves it."""
        self._notices.on_presence(callback)
        return callback

    def on_state(self, callback: Callback[State]) -> Callback[State]:
        """Call back when ``state`` has changed; not for the stop that ``close`` makes."""
        self._notices.on_state(callback)
        return callback

    # --- Asking

    async def subscribe(self, *topics: str) -> None:
        """Follow topics too, all or none. Raises ``Refused``.

        While not connected it is noted, and done by the next connection.
        """
        check_topics((*self._core.topics, *topics))
        if topics:
            await self._change(lambda: self._core.subscribe(topics))

    async def unsubscribe(self, *topics: str) -> None:
        """Follow topics no longer."""
        if topics:
            await self._change(lambda: self._core.unsubscribe(topics))

    async def publish(
        self,
        type: str | object,
        data: Json = None,
        *,
        users: Iterable[str] = (),
        topics: Iterable[str] = (),
        all: bool = False,
        id: str | None = None,
        durable: bool = True,
        ttl: float | None = None,
        collapse_key: str | None = None,
        priority: Priority | None = None,
        display: Mapping[str, str] | None = None,
        echo: bool = False,
    ) -> Receipt:
        """Publish over the socket; on return a durable event is in the log.

        It has an id (``id``, or one made up), under which it is tried again, over reconnects, until ``timeout``: then
        ``PublishFailed``. An ephemeral one (``durable=False``) is tried once: ``Unavailable``. Raises ``Refused``
        where the hub does, ValueError for an event to nobody. ``echo``: have it delivered to this client too.
        """
        event = NewEvent(
            *said(type, data),
            users,
            topics,
            all,
            id,
            durable,
            ttl,
            collapse_key=collapse_key,
            priority=priority,
            display=display,
        ).with_id()
        body = event.body()
        encode(body)  # Raises here what cannot be said in JSON.

        doubt = Doubt()

        async def attempt() -> Receipt:
            if durable:
                await self._runtime.until_open()
            with doubt.about():
                frame = self._read(await self._runtime.request(lambda: self._core.publish(body, echo)))
            return Receipt.from_json(frame["receipt"])

        with self._runtime.wanting():
            if not durable:
                return await self._calls.retry.once(attempt)
            try:
                return await self._calls.retry.run(attempt)
            except (Unavailable, Rejected) as error:
                if isinstance(error, Rejected) and not doubt.exists:
                    raise
                raise PublishFailed(f"not acknowledged: {error}", [body["id"]]) from error

    async def history(
        self,
        topics: Iterable[str] = (),
        after: str | None = None,
        limit: int = 100,
        wait: float = 0,
    ) -> History:
        """Read the log: without ``after`` the newest ``limit`` (at most 1,000) events, with it those that follow.

        ``after="earliest"`` begins with the oldest retained. ``wait`` (at most 60 s): if there is nothing, until
        there is.
        """
        query = {"topics": topic_list(names(topics)), "limit": str(limit)}
        if after is not None:
            query["after"] = after
        if wait:
            query["wait"] = f"{wait:g}"
        return History.from_json(await self._calls.get("/v1/events", query, wait))

    async def presence(self, topic: str) -> tuple[str, ...]:
        """The users who are in a topic."""
        check_topics([topic])
        answer = await self._calls.get("/v1/presence/" + quote(topic, safe=":@/"))
        return tuple(answer["users"])

    @property
    def inbox(self) -> AsyncInbox:
        """The user's inbox."""
        return AsyncInbox(self._calls)

    async def me(self) -> Identity:
        """Who the token says we are."""
        return Identity.from_json(await self._calls.get("/v1/me"))

    # --- Inside

    async def _change(self, ask: Callable[[], list[Output]]) -> None:
        async def attempt() -> None:
            self._runtime.require_running()
            settled = await self._runtime.request(ask)
            if settled.code == "connection_lost":
                # Asked again at once, it is noted for the next connection, which begins with it.
                self._runtime.require_running()
                settled = await self._runtime.request(ask)
            self._read(settled)

        with self._runtime.wanting():
            await self._calls.retry.run(attempt)

    def _read(self, settled: Settle) -> Any:
        """The frame that answers a request; raises ``Refused`` or ``Unavailable``."""
        frame = settled.frame
        if settled.ok:
            return frame
        if frame is None:
            unsent = settled.code == "not_connected"
            words = f"not connected ({self._runtime.cause})" if unsent else "the connection was lost before the answer"
            raise Unavailable(words, maybe_done=not unsent)
        if frame["code"] in _LATER:
            raise Unavailable(f"{frame['code']}: {frame.get('detail')}", maybe_done=frame["code"] == "internal")
        raise Refused(frame["code"], str(frame.get("detail") or ""))
