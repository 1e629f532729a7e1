"""Metrics: valid for strict readers, all of them in the docs, and what the dashboard and the alerts ask for exists."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from hub.delays import Delays
from hub.histogram import BOUNDS, Histogram, quantile
from tests.hub_process import HubProcess
from tests.transports.gauges import wait_until
from tests.transports.raw import RawSocket

ROOT = Path(__file__).parent.parent
DASHBOARD = json.loads((ROOT / "deploy/grafana/notification-hub.json").read_text())
RULES = (ROOT / "deploy/prometheus/alerts.yml").read_text()
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """With little room, so that some is refused."""
    hub = HubProcess(tmp_path_factory.mktemp("metrics"), publish_events_user="5/60s", max_connections=3)
    try:
        yield hub.start()
    finally:
        hub.close()


def scrape(hub: HubProcess, accept: str = "text/plain") -> Any:
    response = hub.http.get("/metrics", headers=hub.admin_headers() | {"Accept": accept})
    assert response.status_code == 200
    openmetrics = "openmetrics" in accept
    assert ("openmetrics" in response.headers["content-type"]) == openmetrics
    return list((read_openmetrics if openmetrics else read_text)(response.text))


def value(hub: HubProcess, name: str, **labels: str) -> float:
    found = [s.value for family in scrape(hub) for s in family.samples if s.name == name and s.labels == labels]
    assert len(found) == 1, (name, labels, found)
    number: float = found[0]
    return number


@pytest.mark.parametrize("accept", ["text/plain", OPENMETRICS])
def test_a_strict_reader_takes_them(hub: HubProcess, accept: str) -> None:
    families = scrape(hub, accept)
    names = [family.name for family in families]
    assert len(names) == len(set(names)) > 35
    assert all(family.documentation for family in families)


def test_each_is_in_the_docs_and_there_are_no_others(hub: HubProcess) -> None:
    told = re.findall(r"^\| `(\w+)` \| (\w+) \|(.*?)\|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    documented = {
        (name.removesuffix("_total") if kind == "counter" else name, kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in told
    }
    found = set()
    for family in scrape(hub, OPENMETRICS):
        labels = frozenset(name for sample in family.samples for name in sample.labels if name != "le")
        found.add((family.name, family.type, labels))
    assert documented == found


def names_in(query: str) -> set[str]:
    """The metrics that a query asks for; raises if it is not PromQL."""
    return set(re.findall(r"\b(?:hub|process)_\w+|\bup\b", str(promql_parser.parse(query))))


def known(hub: HubProcess) -> set[str]:
    return {sample.name for family in scrape(hub) for sample in family.samples} | {"up"}


def test_the_dashboard_asks_for_what_there_is(hub: HubProcess) -> None:
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    assert len(queries) > 30
    exist = known(hub)
    for query in queries:
        # What Grafana puts in.
        asked = names_in(query.replace("$__rate_interval", "5m").replace("$instance", ".*"))
        assert asked
        assert asked <= exist, query
    # And shows each of the hub's own, but for what only details another one.
    shown = set().union(*(names_in(q.replace("$__rate_interval", "5m")) for q in queries))
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in exist if name.startswith("hub_")}
    left_out = {"hub_build_info", "hub_draining", "hub_tasks", "hub_handshakes_waiting", "hub_resets_total"}
    assert families - {re.sub(r"_bucket$", "", name) for name in shown} == left_out


def test_the_alerts_ask_for_what_there_is(hub: HubProcess) -> None:
    queries = re.findall(r"^ +expr: (.+)$", RULES, re.MULTILINE)
    alerts = re.findall(r"^ +- alert: (\w+)$", RULES, re.MULTILINE)
    assert len(queries) == len(alerts) == len(set(alerts)) == len(re.findall(r"^ +runbook: ", RULES, re.MULTILINE))
    exist = known(hub)
    for query in queries:
        assert names_in(query) <= exist, query


def test_what_happens_is_counted(hub: HubProcess) -> None:
    token = hub.add_user("alice", publish=["news"], subscribe=["news"])

    async def story() -> None:
        sockets = [await RawSocket.connect(hub.port, token=token) for _ in range(3)]
        for socket in sockets:
            await socket.until("welcome")
        over = await RawSocket.connect(hub.port, token=token)
        assert (await over.end())[0] == 1013
        assert await asyncio.to_thread(value, hub, "hub_connection_states", transport="websocket", state="live") == 3
        for socket in sockets:
            socket.cut()

    assert value(hub, "hub_refusals_total", code="overloaded") == 0
    asyncio.run(story())
    assert value(hub, "hub_refusals_total", code="overloaded") == 1
    before = value(hub, "hub_publish_seconds_count")
    delivered = value(hub, "hub_delivery_seconds_count")
    event = {"type": "t", "to": {"topics": ["news"]}}
    statuses = [
        hub.http.post("/v1/events", json=event, headers={"Authorization": f"Bearer {token}"}).status_code
        for _ in range(7)
    ]
    assert statuses.count(429) == value(hub, "hub_publishes_limited_total") > 0
    assert value(hub, "hub_publish_seconds_count") == before + statuses.count(202) + statuses.count(200)
    assert value(hub, "hub_delivery_seconds_count") > delivered
    assert 0 < value(hub, "hub_delivery_seconds_sum") < 60
    assert value(hub, "hub_log_commit_seconds_count") > 0
    wait_until(lambda: value(hub, "hub_loop_lag_seconds_count") > 3)
    assert value(hub, "hub_build_info", engine="embedded", version="0.1.0") == 1


def test_a_histogram_counts_each_once() -> None:
    histogram = Histogram()
    assert quantile(histogram.counts(), 0.5) is None
    for seconds in (0.0, BOUNDS[0], 0.003, 0.2, 99.0):
        histogram.observe(seconds)
    buckets = dict(histogram.buckets())
    assert buckets[str(BOUNDS[0])] == 2  # Its upper end belongs to a bucket.
    assert buckets["0.005"] == 3
    assert buckets["0.25"] == 4
    assert buckets["+Inf"] == 5
    assert histogram.sum == pytest.approx(99.2035)
    assert (quantile(histogram.counts(), 0.4), quantile(histogram.counts(), 1)) == (BOUNDS[0], BOUNDS[-1])


def test_an_age_is_read_from_the_event_itself_whatever_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    delays, now = Delays(), [0.0]
    monkeypatch.setattr("hub.delays.monotonic", lambda: now[0])
    monkeypatch.setattr("hub.delays.time", lambda: 1_000_000_000.25)
    trap = json.dumps('","time":"1999-01-01T00:00:00.000Z')
    bodies = (
        b'{"id":"a","type":%b,"source":"user:a","time":"2001-09-09T01:46:40.000Z","data":%b}' % (trap.encode(), b"1"),
        b'{"id":"a","type":"t","source":"user:a","time":"2001-09-09T01:46:40.000Z","data":{"time":"1"}}',
        b'{"id":"nothing to see"}',
        b'{"id":"a","source":"b","time":"not a time at all, really"}',
    )
    for body in bodies:
        now[0] += 1
        delays.look(body)
        delays.look(body)  # So soon again: passed over.
    assert dict(delays.histogram.buckets())["+Inf"] == 2
    assert delays.histogram.sum == pytest.approx(0.5)
