"""The pytest plugin, as others use it: in a project of its own, with its fixtures and its faults."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from hub_client import AsyncClient, AsyncPublisher, State
from hub_client.testing import HubServer

from tests.hub_process import clean_environment

pytestmark = [pytest.mark.anyio]

PROJECT = """
import pytest
from hub_client import Client, Publisher

pytestmark = pytest.mark.hub(audience="ours")

def test_a_fresh_hub(hub_server):
    with (
        Client(hub_server.url, **hub_server.user("alice"), topics=["room:1"]) as client,
        Publisher(hub_server.url, **hub_server.service("shop")) as publisher,
    ):
        publisher.publish("greeting", "hello", users=["alice"])
        hub_server.kill()
        hub_server.start()
        publisher.publish("greeting", "again", users=["alice"])
        assert [event.data for _, event in zip(range(2), client)] == ["hello", "again"]

@pytest.mark.hub(max_event_bytes=300)
def test_settings(hub_server, start_hub):
    assert hub_server.environment["HUB_AUDIENCE"] == "ours"
    assert hub_server.environment["HUB_MAX_EVENT_BYTES"] == "300"
    other = start_hub()
    assert other.url != hub_server.url
    assert other.user("alice") == other.user("alice")

def test_shared(shared_hub):
    assert shared_hub.restart().http.get("/readyz").status_code == 200
"""


def test_a_project_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_ours.py").write_text(PROJECT)
    # Named, so that it is loaded also where the package was installed before it had its entry point.
    command = [
        sys.executable,
        *["-m", "pytest", "-q", "-p", "hub_client.testing.plugin", "--strict-markers", "-W", "error"],
    ]
    done = subprocess.run(
        [*command, str(tmp_path)], env=clean_environment(), cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_without_a_hub_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "test_ours.py").write_text("def test_x(hub_server): pass\n")
    (tmp_path / "conftest.py").write_text(
        "import importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'hub' else found(name, *rest)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "hub_client.testing.plugin", str(tmp_path)]
    done = subprocess.run(command, env=clean_environment(), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "pip install notification-hub" in done.stdout


async def test_a_link_that_is_cut_and_held(shared_hub: HubServer, leakless: None) -> None:
    link = shared_hub.link()
    states: asyncio.Queue[State] = asyncio.Queue()
    client = AsyncClient(link.url, **shared_hub.user("alice"))
    client.on_state(states.put_nowait)

    async def until(state: State) -> None:
        async with asyncio.timeout(30):
            while await states.get() is not state:
                pass

    async with client, AsyncPublisher(shared_hub.url, **shared_hub.service("shop")) as publisher:
        events = client.events()
        await until(State.OPEN)
        assert "connections" in repr(link)
        assert link.drop() >= 1
        await publisher.publish("n", 1, users=["alice"])
        assert (await anext(events)).data == 1
        link.refuse()
        await until(State.WAITING)
        await publisher.publish("n", 2, users=["alice"])
        link.accept()
        assert (await anext(events)).data == 2
        link.hold()
        await publisher.publish("n", 3, users=["alice"])
        coming = asyncio.ensure_future(anext(events))
        done, _ = await asyncio.wait([coming], timeout=0.2)
        assert not done
        link.release()
        assert (await coming).data == 3


async def test_a_hub_that_hangs(start_hub: object, tmp_path: Path, leakless: None) -> None:
    with HubServer(tmp_path) as hub:
        async with AsyncPublisher(hub.url, **hub.service("shop")) as publisher:
            await publisher.publish("n", 1, topics=["x"])
            hub.pause()
            publishing = asyncio.ensure_future(publisher.publish("n", 2, topics=["x"]))
            done, _ = await asyncio.wait([publishing], timeout=0.2)
            assert not done
            hub.resume()
            assert (await publishing).cursor
            link = hub.link()
            hub.pause()
        assert "HubServer" in repr(hub)
    assert len(link) == 0
