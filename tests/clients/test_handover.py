"""From the socket to the application: in order, each once, to everybody who listens, and not before."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hub_client import Event, Rejected, Reset
from hub_client._handover import Handover, Mark
from hub_client._signal import Signal

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("leakless")]


def event(number: int, type: str = "t") -> Event:
    return Event(str(number), type, "user:a", "2026-01-01T00:00:00Z", "all", number, f"e:{number}")


@pytest.fixture
async def handover(leakless: None) -> AsyncIterator[Handover]:
    handover = Handover("e:0", Signal())
    task = asyncio.create_task(handover.run())
    yield handover
    task.cancel()
    await asyncio.wait([task])


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_nothing_is_taken_out_before_somebody_listens(handover: Handover) -> None:
    handover.put(event(1), 10)
    handover.put(Mark("e:5"))
    await settle()
    assert (handover.cursor, handover.size) == ("e:0", 10)
    events = handover.events()
    assert (await anext(events)).data == 1
    assert handover.cursor == "e:1"
    await settle()
    assert (handover.cursor, handover.size) == ("e:5", 0)


async def test_marks_of_a_quiet_client_take_no_room(handover: Handover) -> None:
    handover.put(event(1), 10)
    for number in range(2, 1000):
        handover.put(Mark(f"e:{number}"))
    assert len(handover._items) == 2
    await anext(handover.events())
    await settle()
    assert handover.cursor == "e:999"


async def test_what_is_on_offer_counts_until_it_was_taken(handover: Handover) -> None:
    events = handover.events()
    handover.put(event(1), 10)
    await settle()
    assert handover.size == 10
    await anext(events)
    await settle()
    assert handover.size == 0


async def test_an_iterator_begins_with_what_nobody_had(handover: Handover) -> None:
    first = handover.events()
    handover.put(event(1))
    handover.put(event(2))
    await settle()
    # On offer to an iterator that is dropped without having taken it.
    del first
    gc.collect()
    await settle()
    second = handover.events()
    assert [(await anext(second)).data for _ in range(2)] == [1, 2]


async def test_an_iterator_does_not_begin_with_what_somebody_had(handover: Handover) -> None:
    first = handover.events()
    handover.put(event(1))
    assert (await anext(first)).data == 1
    # Before the task that hands over has got a word in.
    second = handover.events()
    del first
    handover.put(event(2))
    assert (await anext(second)).data == 2


async def test_callbacks_take_over_from_a_dropped_iterator(handover: Handover) -> None:
    events = handover.events()
    handover.put(event(1))
    await settle()
    await events.aclose()
    seen: list[Any] = []
    handover.on("*", lambda received: seen.append(received.data))
    await settle()
    assert seen == [1]
    assert handover.cursor == "e:1"
    assert [received async for received in events] == []


async def test_callbacks_and_iterators_both_get_it(handover: Handover) -> None:
    seen: list[Any] = []
    handover.on("t", lambda received: seen.append((received.data, handover.cursor)))
    first, second = handover.events(), handover.events()
    handover.put(event(1))
    assert (await anext(first)).data == 1
    # Not everybody has it yet.
    assert handover.cursor == "e:0"
    assert (await anext(second)).data == 1
    assert handover.cursor == "e:1"
    assert seen == [(1, "e:0")]


async def test_a_callback_sees_the_cursor_behind_its_event(handover: Handover) -> None:
    seen: list[Any] = []
    handover.on("t", lambda received: seen.append(handover.cursor))
    handover.on_reset(lambda reset: seen.append(handover.cursor))
    handover.put(event(1))
    handover.put(Reset("truncated", "e:7"))
    handover.put(event(8, "other"))
    await settle()
    assert seen == ["e:1", "e:7"]
    # An event that no callback wants is dealt with.
    assert handover.cursor == "e:8"


async def test_a_slow_iterator_holds_back_the_others(handover: Handover) -> None:
    slow, fast = handover.events(), handover.events()
    for number in (1, 2):
        handover.put(event(number))
    assert (await anext(fast)).data == 1
    ahead = asyncio.ensure_future(anext(fast))
    await settle()
    assert not ahead.done()
    await anext(slow)
    assert (await ahead).data == 2


async def test_a_cancelled_wait_has_not_taken(handover: Handover) -> None:
    events = handover.events()
    waiting = asyncio.ensure_future(anext(events))
    await settle()
    # The event comes and the wait is cancelled in the same turn of the loop.
    handover.put(event(1))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    if waiting.cancelled():
        assert handover.cursor == "e:0"
        assert (await anext(events)).data == 1
    handover.put(event(2))
    assert (await anext(events)).data == 2


async def test_two_who_share_an_iterator_get_different_events(handover: Handover) -> None:
    events = handover.events()
    sharing = [asyncio.ensure_future(anext(events)) for _ in range(3)]
    for number in (1, 2, 3):
        handover.put(event(number))
    assert sorted(received.data for received in await asyncio.gather(*sharing)) == [1, 2, 3]


async def test_what_waits_comes_before_the_error(handover: Handover) -> None:
    events = handover.events()
    handover.put(event(1))
    handover.finish(Rejected("logged_out", "Bye."))
    assert (await anext(events)).data == 1
    for _ in range(2):
        with pytest.raises(Rejected):
            await anext(events)
    with pytest.raises(Rejected):
        await anext(handover.events())


async def test_the_error_does_not_overtake_a_callback(handover: Handover) -> None:
    gate = asyncio.Event()

    async def slow(_: Event) -> None:
        await gate.wait()

    handover.on("*", slow)
    events = handover.events()
    handover.put(event(1))
    handover.finish(Rejected("logged_out", "Bye."))
    waiting = asyncio.ensure_future(anext(events))
    await settle()
    assert not waiting.done()
    gate.set()
    assert (await waiting).data == 1


async def test_at_the_application_s_own_end_what_waits_is_dropped(handover: Handover) -> None:
    events = handover.events()
    handover.put(event(1))
    handover.end()
    assert [received async for received in events] == []
    assert handover.cursor == "e:0"


async def test_a_mark_does_not_overtake_an_event(handover: Handover) -> None:
    events = handover.events()
    handover.put(event(1))
    await settle()
    # On offer, and nothing else waits.
    handover.put(Mark("e:5"))
    await settle()
    assert handover.cursor == "e:0"
    await anext(events)
    await settle()
    assert handover.cursor == "e:5"


async def test_the_application_s_own_end_is_no_error(handover: Handover) -> None:
    handover.finish(Rejected("logged_out", "Bye."))
    handover.end()
    assert [received async for received in handover.events()] == []


async def test_off_what_is_not_on(handover: Handover) -> None:
    with pytest.raises(ValueError, match="not in list"):
        handover.off("t", print)
