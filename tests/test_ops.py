"""For the person on call: liveness, readiness that means something, metrics, and a log without secrets."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hub.logs import redact
from tests.hub_process import HubProcess
from tests.transports.api import Api
from tests.transports.gauges import wait_until


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(tmp_path_factory.mktemp("ops"), metrics_token="a token for the scraper")
    try:
        yield hub.start()
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


def test_health_and_readiness(hub: HubProcess) -> None:
    assert hub.http.get("/healthz").json() == {"status": "ok"}
    assert hub.http.get("/readyz").json() == {"status": "ready"}


def test_it_is_not_ready_while_its_log_cannot_be_written(start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub()
    api = Api(hub, hub.admin_headers()["Authorization"].removeprefix("Bearer "))
    body = {"type": "t", "to": {"all": True}, "id": "kept"}
    # Somebody else holds the write lock of the log: a backup that got stuck.
    lock = sqlite3.connect(hub.data_dir / "log.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        with ThreadPoolExecutor() as threads:
            publishing = threads.submit(api.call, "POST", "/v1/events", json=body)
            asking = threads.submit(api.call, "GET", "/readyz")
            # It lives, and says so: restarting it would not help. What is in the log can be read all the while.
            assert hub.http.get("/healthz").status_code == 200
            assert api.get("/v1/events", topics="all")["events"] == []
            for response in (asking.result(), publishing.result()):
                assert (response.status_code, response.json()["code"]) == (503, "log_unavailable")
                assert int(response.headers["retry-after"]) >= 1
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    wait_until(lambda: hub.http.get("/readyz").status_code == 200)
    # What was refused is not there, and can be said again.
    receipt = api.publish(body)
    assert receipt["duplicate"] is False
    assert len(api.get("/v1/events", topics="all")["events"]) == 1
    assert "Traceback" not in hub.log()


def test_metrics_are_for_the_scraper_and_administrators(hub: HubProcess) -> None:
    hub.add_user("alice")
    api = Api(hub)
    assert api.refused("GET", "/metrics")["code"] == "token_missing"
    assert api.with_token(hub.token("alice")).refused("GET", "/metrics")["code"] == "forbidden"
    for wrong in ("a token for the scrape", "a token for the scraper!", "x"):
        assert api.with_token(wrong).refused("GET", "/metrics")["code"] == "token_malformed"
    latin = {"Authorization": b"Bearer caf\xe9"}
    assert api.refused("GET", "/metrics", headers=latin)["code"] == "token_malformed"
    scraped = api.with_token("a token for the scraper").call("GET", "/metrics")
    assert scraped.headers["content-type"].startswith("text/plain; version=")
    assert "hub_connections 0.0" in scraped.text
    assert "process_resident_memory_bytes" in scraped.text


def test_metrics_count_what_happens(hub: HubProcess) -> None:
    before = hub.metrics()
    hub.publish(id="counted", topics=["t"])
    hub.publish(id="counted", topics=["t"])
    hub.publish(topics=["t"], durable=False)
    after = hub.metrics()
    grown = {name: after[name] - before[name] for name in before}
    assert grown["hub_events_published_total"] == 3
    assert grown["hub_events_duplicate_total"] == 1
    assert grown["hub_log_head"] == 1
    assert after["hub_tail_lag"] == 0


@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        ("GET /v1/ws?token=abc.def&topics=a", "abc.def"),
        ("refresh_token=hubr_x.y", "hubr_x.y"),
        ("grant_type=password&username=a&password=hunter22&scope=", "hunter22"),
        ("client_secret=hubk_secret", "hubk_secret"),
        ("Bearer eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl failed", "eyJzdWIiOiJhIn0"),
        ("protocols: hub.v1, bearer.eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
        ("spent hubr_AAAAAAAAAAAAAAAAAAAAAA.BBBBBBBB_BBBB-BBBB again", "BBBBBBBB"),
        ("/v1/ws?topics=a&ticket=hubt_x1&after=e:1", "hubt_x1"),
        ("a ticket hubt_AAAAAAAA_AAAA-AAAA", "AAAAAAAA"),
        ("the secret hubk_AAAAAAAA_AAAA-AAAA of billing", "AAAAAAAA"),
        (json.dumps({"username": "a", "password": "hunter22"}), "hunter22"),
        (json.dumps({"refresh_token": "r-1", "x": 1}), "r-1"),
        (json.dumps({"password": 'correct "horse" battery'}), "battery"),
        (str({"password": "correct horse battery"}), "battery"),
    ],
)
def test_secrets_are_taken_out_of_the_log(said: str, hidden: str) -> None:
    assert hidden in said
    assert hidden not in redact(said)
    assert "[redacted]" in redact(said)


def test_what_is_no_secret_stays_in_the_log() -> None:
    said = "opened c_1 for user:alice from 127.0.0.1 (hubris, eye, token_expired)"
    assert redact(said) == said
