"""``Client`` and ``Publisher``: the same without ``await``, from threads, with interrupts and forks."""

from __future__ import annotations

import asyncio
import linecache
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from hub_client import Client, Event, Publisher, Refused, Rejected, State, Unavailable
from hub_client._portal import Portal

from .fake_hub import FakeHub, Socket, event, jwt


@contextmanager
def running(hub: FakeHub) -> Iterator[FakeHub]:
    """The scripted hub on a loop of its own."""
    portal = Portal()
    context = hub.run()
    portal.call(context.__aenter__)
    try:
        yield hub
    finally:
        portal.call(lambda: context.__aexit__(None, None, None))
        portal.close()


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    before = threading.active_count()
    with running(FakeHub()) as hub:
        yield hub
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def sends(*frames: dict[str, Any]) -> Any:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        for frame in frames:
            await socket.send(frame)
        while True:
            frame = await socket.receive()
            receipt = {"id": frame.get("event", {}).get("id"), "cursor": "e:9", "time": "t", "duplicate": False}
            ok = {"type": "ok", "ref": frame["ref"], "topics": ["all", "a"], "cursor": "e:9", "receipt": receipt}
            await socket.send(ok)

    return script


def test_events_and_requests(hub: FakeHub) -> None:
    hub.on_socket = sends(event(1), event(2))
    with Client(hub.url, token=jwt(), client_id="tab-00000001") as client:
        assert client.state is State.OPEN
        assert client.client_id == "tab-00000001"
        assert client.topics == ("all", "user:alice")
        seen = []
        for received in client:
            seen.append((received.data, client.cursor))
            if len(seen) == 2:
                break
        assert seen == [(1, "e:1"), (2, "e:2")]
        assert client.publish("x", {"a": 1}, all=True).cursor == "e:9"
        client.subscribe("a")
        client.unsubscribe("a")
        with pytest.raises(Refused, match="not_found"):
            client.me()
        with pytest.raises(Refused, match="not_found"):
            client.presence("a")
        with pytest.raises(Refused, match="not_found"):
            client.history("a")
    assert client.state is State.STOPPED
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.publish("x", all=True)


def test_iterating_ends_when_it_is_quiet(hub: FakeHub) -> None:
    hub.on_socket = sends(event(1), event(2))
    with Client(hub.url, token=jwt()) as client:
        assert [received.data for received in client.events(timeout=0.3)] == [1, 2]


def test_iterating_raises_why_the_client_stopped(hub: FakeHub) -> None:
    async def script(socket: Socket) -> None:
        await socket.welcome()
        await socket.send(event(1))
        await socket.close(1008, "logged_out")

    hub.on_socket = script
    with Client(hub.url, token=jwt()) as client:
        events = client.events()
        assert next(events).data == 1
        with pytest.raises(Rejected):
            next(events)
        with pytest.raises(Rejected):
            client.wait_stopped()


def test_entering_fails_cleanly(hub: FakeHub) -> None:
    with pytest.raises(Unavailable):
        Client("http://127.0.0.1:9", token=jwt(), open_timeout=0.05).start()


def test_callbacks_may_call_the_client(hub: FakeHub) -> None:
    hub.on_socket = sends(event(1), {"type": "reset", "reason": "truncated", "cursor": "e:5"}, event(6))
    told: queue.Queue[Any] = queue.Queue()
    client = Client(hub.url, token=jwt())

    def answer(received: Event) -> None:
        told.put((client.publish("echo", received.data, all=True).cursor, threading.current_thread().name))

    client.on("test", answer)
    client.on_reset(lambda reset: told.put(reset.reason))
    states: queue.Queue[State] = queue.Queue()
    client.on_state(states.put)
    client.on_presence(print)
    with client:
        assert told.get(timeout=5) == ("e:9", "hub-client-callbacks_0")
        assert told.get(timeout=5) == "truncated"
        assert told.get(timeout=5)[0] == "e:9"
        assert [states.get(timeout=5) for _ in range(3)] == [State.AUTHORIZING, State.CONNECTING, State.OPEN]


def test_a_callback_may_close_the_client(hub: FakeHub) -> None:
    hub.on_socket = sends(event(1))
    client = Client(hub.url, token=jwt())
    closed = threading.Event()

    def close(_: Event) -> None:
        client.close()
        closed.set()

    client.on("*", close)
    client.start()
    assert closed.wait(5)


# SIGALRM is this test's own.
@pytest.mark.timeout(15, method="thread")
def test_an_interrupt_loses_no_event(hub: FakeHub) -> None:
    total = 300

    async def script(socket: Socket) -> None:
        await socket.welcome()
        for seq in range(1, total + 1):
            await socket.send(event(seq))
            await asyncio.sleep(0.001)
        await socket.until_closed()

    hub.on_socket = script

    class Interrupt(Exception):
        pass

    def interrupt(_: int, frame: FrameType | None) -> None:
        # Python may raise between any two instructions; the promise is about waiting (in threading.Condition).
        if frame is None or frame.f_lineno is None:  # Between two lines.
            return
        if "waiter.acquire()" in linecache.getline(frame.f_code.co_filename, frame.f_lineno):
            raise Interrupt

    seen: list[int] = []
    interrupts = 0
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Client(hub.url, token=jwt()) as client:
            signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
            while len(seen) < total:
                try:
                    for received in client:
                        seen.append(received.data)
                        if len(seen) == total:
                            break
                except Interrupt:
                    interrupts += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        # One may be under way still; ignoring drops it (POSIX.1, 2.4.3), the default would end this process.
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, before)
    assert interrupts > 5
    assert seen == list(range(1, total + 1))


@pytest.mark.timeout(15, method="thread")
def test_an_interrupt_cancels_what_was_waited_for() -> None:
    waiting, cancelled = threading.Event(), threading.Event()

    async def wait() -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def interrupt(*_: Any) -> None:
        if waiting.is_set():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    portal = Portal()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        with pytest.raises(KeyboardInterrupt):
            portal.call(wait)
        assert cancelled.wait(5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        portal.close()


def test_publishing_from_many_threads(hub: FakeHub) -> None:
    ids: list[str] = []
    with Publisher(hub.url, service_id="shop", service_secret="secret") as publisher:

        def work() -> None:
            for _ in range(5):
                ids.append(publisher.publish("x", all=True).id)
            ids.extend(receipt.id for receipt in publisher.publish_many([{"type": "y", "all": True}] * 2))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(ids)) == 28
    publisher.close()
    with pytest.raises(RuntimeError, match="closed"):
        publisher.publish("x", all=True)


def test_a_publisher_that_was_never_used_starts_nothing() -> None:
    before = threading.active_count()
    publisher = Publisher("http://127.0.0.1:9", token="t")
    assert threading.active_count() == before
    publisher.close()
    assert threading.active_count() == before


def test_forking(hub: FakeHub) -> None:
    """Made before a fork and used after it: works. Used before it: says so, instead of waiting for ever."""
    script = textwrap.dedent(
        """
        import os, sys
        from hub_client import Publisher

        unused, used = (Publisher(sys.argv[1], token="t") for _ in range(2))
        used.publish("parent", all=True)
        child = os.fork()
        if child == 0:
            unused.publish("child", all=True)
            try:
                used.publish("lost", all=True)
            except RuntimeError as error:
                assert "fork" in str(error)
                used.close()
                unused.close()
                os._exit(0)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        used.publish("parent again", all=True)
        used.close()
        sys.exit(os.waitstatus_to_exitcode(status))
        """
    )
    done = subprocess.run([sys.executable, "-c", script, hub.url], timeout=30, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [call.json["type"] for call in hub.calls] == ["parent", "child", "parent again"]


def test_an_exit_without_closing_does_not_hang(hub: FakeHub) -> None:
    script = "import sys; from hub_client import Client; c = Client(sys.argv[1], token='t'); c.start(); print('up')"
    done = subprocess.run([sys.executable, "-c", script, hub.url], timeout=30, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "up\n"), done.stderr


def test_the_loop_s_own_thread_would_wait_for_itself() -> None:
    portal = Portal()

    async def reenter() -> None:
        async def nothing() -> None:
            pass

        portal.call(nothing)

    with pytest.raises(RuntimeError, match="wait for itself"):
        portal.call(reenter)
    portal.close()
