"""A hub inside another app, under a real uvicorn; and the same app with the hub elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hub_client import AsyncClient, AsyncPublisher, PublishFailed, Refused
from hub_client.fastapi import HubPublisher

from hub.data_directory import StartError
from hub.embed import EmbeddedHub
from hub.errors import HubError
from hub.model import Grants
from hub.settings import Settings

from .hub_process import ADMIN_PASSWORD, HubProcess, clean_environment, free_port

pytestmark = pytest.mark.anyio


class Shop(HubProcess):
    """The app under uvicorn; what concerns the hub goes to the one below ``/hub``."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        super().__init__(directory, **settings)
        self.command = [sys.executable, "-m", "uvicorn", "tests.embedded_app:app", "--port", str(self.port)]
        self.site = self.url
        self.url = f"{self.site}/hub"
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("shop"))
    try:
        yield made.start()  # type: ignore[misc]
        made.stop()
        assert "Traceback" not in made.log()
    finally:
        made.close()


async def test_a_route_publishes_to_those_who_listen(shop: Shop) -> None:
    shop.add_user("alice")
    async with AsyncClient(shop.url, username="alice", password="password of alice") as client:
        events = client.events()
        assert httpx.post(f"{shop.site}/orders/alice/7").json()
        event = await anext(events)
        assert (event.type, event.data, event.source) == ("order.paid", {"order": 7}, "service:shop")
        # The same id is the same event, here as over HTTP.
        assert httpx.post(f"{shop.site}/orders/alice/7").json() == event.cursor
        assert (await client.inbox.page()).unread == 1


def test_all_of_the_api_is_there(shop: Shop) -> None:
    big = [{"type": "big", "data": "x" * 50_000, "to": {"topics": ["big"]}}] * 3
    assert len(shop.call("POST", "/v1/events", json=big)) == 3  # More than other bodies may have.
    document = shop.http.get("/openapi.json").json()
    assert document["servers"] == [{"url": "/hub"}]
    assert shop.http.get("/client/index.js").status_code == 200
    page = shop.http.get("/docs")
    assert "'openapi.json'" in page.text
    assert "unsafe-inline" in page.headers["content-security-policy"]
    assert shop.http.get("/docs/assets/swagger-ui.css").status_code == 200
    assert shop.http.get("/v1/me").headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert shop.http.get("/nowhere").json()["code"] == "not_found"
    assert httpx.get(f"{shop.site}/v1/me").status_code == 404


def test_the_buffer_and_refusals_are_as_over_http(shop: Shop) -> None:
    assert len(set(httpx.post(f"{shop.site}/many/1200").json())) == 1200
    page = shop.call("GET", "/v1/events", params={"topics": "many", "limit": 1000})
    assert [entry["event"]["data"] for entry in page["events"]] == list(range(200, 1200))
    answer = httpx.post(f"{shop.site}/refused")
    assert (answer.status_code, answer.json()["detail"]) == (422, ["event_invalid", 1])


def test_clients_are_sent_away_and_events_stay(start_hub: Callable[..., HubProcess], tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    try:
        shop.start().add_user("alice")
        httpx.post(f"{shop.site}/orders/alice/7")
        shop.stop()
        shop.start()
        [entry] = shop.call("GET", "/v1/events", params={"topics": "user:alice"})["events"]
        assert entry["event"]["data"] == {"order": 7}
        with pytest.raises(RuntimeError, match="data"):
            _second(shop).start()
    finally:
        shop.close()


def _second(shop: Shop) -> Shop:
    other = Shop(shop.data_dir.parent)
    other.log_path = shop.data_dir.parent / "second.log"
    return other


async def test_the_same_app_with_the_hub_elsewhere(start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub()
    hub.add_user("alice")
    made = hub.add_service("shop")
    environment = {
        "WITHOUT_HUB": "1",
        "HUB_URL": hub.url,
        "HUB_SERVICE_ID": made["id"],
        "HUB_SERVICE_SECRET": made["secret"],
    }
    with uvicorn(environment) as site, httpx.Client(base_url=site) as http:
        async with AsyncClient(hub.url, username="alice", password="password of alice") as client:
            assert http.post("/orders/alice/7").json()
            event = await anext(client.events())
            assert (event.data, event.source) == ({"order": 7}, f"service:{made['id']}")
        assert len(http.post("/many/10").json()) == 10
        assert http.post("/refused").status_code == 422


@contextmanager
def uvicorn(environment: dict[str, str]) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.embedded_app:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, env=clean_environment() | environment)
    site = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=site, transport=httpx.HTTPTransport(retries=10)) as http:
            http.get("/")
        yield site
    finally:
        process.terminate()
        process.wait(20)


async def test_in_this_process(tmp_path: Path) -> None:
    app = FastAPI()
    hub = EmbeddedHub(Settings(data_dir=tmp_path, admin_password=ADMIN_PASSWORD))  # type: ignore[arg-type]
    hub.mount(app, "/live/hub")
    for path in ("hub", "/", ""):
        with pytest.raises(ValueError, match="path"):
            hub.mount(app, path)
    async with hub.lifespan(app):
        publisher = hub.publisher("billing", publish=("invoices:*",))
        assert "service:billing" in repr(publisher)
        receipt = await publisher.publish("paid", 1, topics=["invoices:7"])
        assert receipt.cursor == str(hub.hub.cursor(hub.hub.engine.head))
        assert (await publisher.publish("typing", topics=["invoices:7"], durable=False)).cursor is None
        with pytest.raises(Refused, match="forbidden"):
            await publisher.publish("paid", 1, topics=["orders"])
        token = hub.token("alice", subscribe=["room:*"], publish=["room:*"], topics=["room:1"])
        principal = hub._application.identity.authenticate(token)
        assert (principal.source, principal.topics, principal.admin) == ("user:alice", ("room:1",), False)
        assert principal.grants == Grants(("room:*",), ("room:*",))
        service = hub._application.identity.authenticate(hub.token("worker", service=True))
        assert (service.source, service.grants) == ("service:worker", Grants())
        for wrong in ({"user": "a:b"}, {"user": "a", "publish": ["x*"]}, {"user": "a", "topics": ["x y"]}):
            with pytest.raises(HubError, match="topic_invalid"):
                hub.token(**wrong)  # type: ignore[arg-type]
        with pytest.raises(StartError):
            async with EmbeddedHub(hub.settings).running():
                pass
        await publisher.close()
    with pytest.raises(PublishFailed):
        await publish_late(hub)
    with pytest.raises(ValueError, match="name"):
        hub.publisher("no name")


async def publish_late(hub: EmbeddedHub) -> None:
    """Published to a hub that has stopped."""
    publisher = hub.publisher("billing")
    object.__setattr__(publisher._calls.retry, "timeout", 0.1)
    await publisher.publish("paid", 1, topics=["x"])


async def test_no_hub_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUB_URL", raising=False)

    class Connection:
        app = FastAPI()

    connection: Any = Connection()
    with pytest.raises(RuntimeError, match="HUB_URL"):
        await HubPublisher()(connection)
    async with HubPublisher("http://127.0.0.1:9", token="t") as hub:
        publisher = await hub(connection)
        assert type(publisher) is AsyncPublisher
        assert await hub(connection) is publisher
