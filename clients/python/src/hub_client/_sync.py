"""``Client``: the asynchronous one, for scripts; it runs on a background thread's event loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from hub_client._auth import TokenCallable
from hub_client._client import AsyncClient
from hub_client._core import State
from hub_client._inbox import Inbox
from hub_client._models import Event, History, Identity, Json, Presence, Priority, Receipt, Reset
from hub_client._portal import NoLoop, Portal

T = TypeVar("T")


class Client:
    """``AsyncClient`` without ``await``; see there for arguments, guarantees and errors.

    ::

        with Client("http://127.0.0.1:8000", username="alice", password=…) as client:
            for event in client:
                print(event.type, event.data)

    May be used from several threads. Callbacks run one at a time on a thread made for them, and may call everything
    here. An interrupt (Ctrl-C) while waiting for an event loses none: ``cursor`` is where to go on.
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
        self._client = AsyncClient(
            url,
            username=username,
            password=password,
            token=token,
            service_id=service_id,
            service_secret=service_secret,
            topics=topics,
            after=after,
            client_id=client_id,
            open_timeout=open_timeout,
            timeout=timeout,
            buffer_bytes=buffer_bytes,
            tls=tls,
        )
        self._portal = Portal()
        self._callbacks = ThreadPoolExecutor(1, thread_name_prefix="hub-client-callbacks")

    def __repr__(self) -> str:
        return repr(self._client).replace("Async", "", 1)

    # --- Life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Connect."""
        try:
            self._portal.call(self._client.start)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End. Safe to call twice, and from callbacks."""
        with suppress(NoLoop):
            self._portal.call(self._client.close)
        self._portal.close()
        self._callbacks.shutdown(wait=False, cancel_futures=True)

    def wait_stopped(self) -> None:
        """Wait until the client stops; raises why, unless it was ``close``."""
        self._portal.call(self._client.wait_stopped)

    @property
    def state(self) -> State:
        """Where the client is."""
        return self._client.state

    @property
    def cursor(self) -> str | None:
        """Where to resume, as ``after``."""
        return self._client.cursor

    @property
    def client_id(self) -> str:
        """This client's name to the hub."""
        return self._client.client_id

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics of the connection, as the hub last told them."""
        return self._client.topics

    # --- Receiving

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """The events from here on; ends when the client stops, or when none has come for ``timeout`` seconds."""
        loop = self._portal.loop()
        changed = self._client._handover.changed

        async def listen() -> Any:
            return self._client.events()

        async def ready() -> None:
            async with asyncio.timeout(timeout):
                await events.ready()

        events = self._portal.call(listen)
        while True:
            try:
                # Waiting may be interrupted; taking, on this thread, may not be half done.
                self._portal.call(ready)
                event: Event = events.take()
            except (StopAsyncIteration, TimeoutError):
                return
            loop.call_soon_threadsafe(changed.notify)
            yield event

    def __iter__(self) -> Iterator[Event]:
        return self.events()

    def on(self, type: str | type[Any], callback: Callable[[Event], object]) -> None:
        """Call back for events of this type (``*``: of all)."""
        self._on(lambda bridge: self._client.on(type, bridge), callback)

    def on_reset(self, callback: Callable[[Reset], object]) -> None:
        """Call back where events are missing."""
        self._on(self._client.on_reset, callback)

    def on_presence(self, callback: Callable[[Presence], object]) -> None:
        """Call back when somebody comes to a topic or leaves it."""
        self._on(self._client.on_presence, callback)

    def on_state(self, callback: Callable[[State], object]) -> None:
        """Call back when ``state`` has changed."""
        self._on(self._client.on_state, callback)

    # --- Asking

    def subscribe(self, *topics: str) -> None:
        """Follow topics too, all or none."""
        self._portal.call(lambda: self._client.subscribe(*topics))

    def unsubscribe(self, *topics: str) -> None:
        """Follow topics no longer."""
        self._portal.call(lambda: self._client.unsubscribe(*topics))

    def publish(
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
        """Publish over the socket."""
        return self._portal.call(
            lambda: self._client.publish(
                type,
                data,
                users=users,
                topics=topics,
                all=all,
                id=id,
                durable=durable,
                ttl=ttl,
                collapse_key=collapse_key,
                priority=priority,
                display=display,
                echo=echo,
            )
        )

    def history(
        self, topics: Iterable[str] = (), after: str | None = None, limit: int = 100, wait: float = 0
    ) -> History:
        """Read the log."""
        return self._portal.call(lambda: self._client.history(topics, after, limit, wait))

    def presence(self, topic: str) -> tuple[str, ...]:
        """The users who are in a topic."""
        return self._portal.call(lambda: self._client.presence(topic))

    @property
    def inbox(self) -> Inbox:
        """The user's inbox."""
        return Inbox(self._client.inbox, self._portal)

    def me(self) -> Identity:
        """Who the token says we are."""
        return self._portal.call(self._client.me)

    # --- Inside

    def _on(self, register: Callable[[Callable[[T], Any]], object], callback: Callable[[T], object]) -> None:
        async def bridge(argument: T) -> None:
            await asyncio.get_running_loop().run_in_executor(self._callbacks, callback, argument)

        bridge.__qualname__ = getattr(callback, "__qualname__", repr(callback))

        async def on_the_loop() -> None:
            register(bridge)

        self._portal.call(on_the_loop)
