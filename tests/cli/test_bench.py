"""``hub bench`` against a real hub: what it measures, what it leaves, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from hub.bench.target import Target
from tests.hub_process import ADMIN_PASSWORD, HubProcess

from .conftest import Run, client_of, command

SMALL = ("--connections", "4", "--seconds", "0.5", "--processes", "2")


@pytest.fixture
def as_service(hub: HubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """With just the rights that it needs."""
    made = hub.add_service(f"bench-{time.monotonic_ns()}", grants={"subscribe": ["bench:*"], "publish": ["bench:*"]})
    monkeypatch.setenv("HUB_URL", hub.url)
    monkeypatch.setenv("HUB_SERVICE_ID", made["id"])
    monkeypatch.setenv("HUB_SERVICE_SECRET", made["secret"])


def connections(hub: HubProcess) -> list[Any]:
    """Who is connected; a hub learns of a closed socket a moment later."""
    deadline = time.monotonic() + 10
    while (found := hub.call("GET", "/v1/connections")) and time.monotonic() < deadline:
        time.sleep(0.02)
    return list(found)


def test_everything_is_measured_and_nothing_stays(run: Run, as_service: None, hub: HubProcess) -> None:
    done = run("bench", *SMALL, "--json")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    measured = report["measurements"]
    assert list(measured) == [
        "connect", "latency_ephemeral", "latency_durable", "broadcast_ephemeral", "broadcast_durable",
        "publish_ephemeral", "publish_ephemeral_batch", "publish_durable", "publish_durable_batch", "resume",
    ]  # fmt: skip
    assert report["url"] == hub.url
    assert report["local"]
    assert report["ceiling"] > 1000
    assert report["verdict"]["good"]
    for name, each in measured.items():
        if name.startswith("latency"):
            latency = each["delivery"]
            # Ten in half a second, the last of which may be due when it ends.
            assert latency["count"] in (9 * 4, 10 * 4)
            assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"] * 1.01
        else:
            assert each["rate"] > 0
            assert each["limit"]
        if name != "connect":
            assert each["verdict"]["expected"] > 0
            assert each["verdict"]["missing"] == 0
    assert measured["latency_durable"]["answer"]["count"] in (9, 10)
    assert measured["resume"]["verdict"]["expected"] == 4 * 50
    assert measured["broadcast_ephemeral"]["verdict"]["expected"] % 400 == 0, "batches of a hundred to four"
    assert connections(hub) == []


def test_the_report_for_people_without_what_runs_flat_out(run: Run, as_service: None) -> None:
    done = run("bench", *SMALL, "--no-flat-out", "--rate", "50")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split() == ["a", "second", "p50", "ms", "p90", "ms", "p99", "ms", "client's", "CPU"]
    assert [line.split("  ")[0] for line in lines[1:5]] == [
        "4 connections",
        "one ephemeral event at a time, 50/s, to 4",
        "one durable event at a time, 50/s, to 4",
        "",
    ]
    assert lines[5].startswith("4 clients come back, 50 events behind ")
    assert "Every event arrived exactly once and in order: " in done.out
    assert "The figures are those of this machine, whose cores the hub and this client share." in lines


def test_a_session_that_it_made_is_ended(run: Run, hub: HubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    from hub.cli import bench

    tokens = []
    fetch = bench.fetch
    monkeypatch.setattr(bench, "fetch", lambda *arguments: tokens.append(fetch(*arguments)) or tokens[-1])
    who = ("--username", "admin", "--password", ADMIN_PASSWORD)
    done = run("bench", hub.url, *who, "--no-flat-out", "--connections", "1", "--seconds", "0.5")
    assert done.code == 0
    answer = hub.http.get("/v1/me", headers={"Authorization": f"Bearer {tokens[0]}"})
    assert answer.json()["code"] == "logged_out"
    # A token that was there before is left alone.
    monkeypatch.setenv("HUB_TOKEN", hub.token("admin", ADMIN_PASSWORD))
    for _ in range(2):
        assert run("bench", hub.url, "--no-flat-out", "--connections", "1", "--seconds", "0.5").code == 0


def test_ctrl_c_shows_what_was_measured_until_then(as_service: None, hub: HubProcess) -> None:
    before = hub.metrics()["hub_events_published_total"]
    process = subprocess.Popen(
        command("bench", "--connections", "3", "--seconds", "20", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=client_of(hub, **{name: os.environ[name] for name in ("HUB_SERVICE_ID", "HUB_SERVICE_SECRET")}),
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 20
        # The first event of the first measurement of 20 seconds: opening was measured before.
        while hub.metrics()["hub_events_published_total"] == before and time.monotonic() < deadline:
            time.sleep(0.02)
        # As a terminal does: to the whole group.
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, err) == (130, "")
    report = json.loads(out)
    assert report["interrupted"]
    assert list(report["measurements"]) == ["connect"]
    assert connections(hub) == []


def test_a_hub_that_ends_meanwhile(tmp_path: Path) -> None:
    other = HubProcess(tmp_path)
    try:
        other.start()
        environment = client_of(other, HUB_TOKEN=other.token("admin", ADMIN_PASSWORD))
        process = subprocess.Popen(
            command("bench", "--connections", "3", "--seconds", "20"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while other.metrics()["hub_events_published_total"] < 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        other.kill()
        out, err = process.communicate(timeout=20)
    finally:
        other.close()
    assert process.returncode == 1
    assert "Error: " in err
    assert "What was measured before is above." in err
    assert "Traceback" not in err
    assert "3 connections" in out


@pytest.mark.parametrize(
    ("grants", "lacks"),
    [
        ({"subscribe": [], "publish": ["*"]}, "it lacks --subscribe 'bench:*')"),
        ({"subscribe": ["bench:*"], "publish": ["orders:*"]}, "it lacks --publish 'bench:*')"),
        ({"subscribe": [], "publish": []}, "it lacks --subscribe 'bench:*' and --publish 'bench:*')"),
    ],
)
def test_missing_rights_are_told_first(run: Run, hub: HubProcess, grants: dict[str, list[str]], lacks: str) -> None:
    made = hub.add_service(f"weak-{time.monotonic_ns()}", grants=grants)
    refused = run("bench", hub.url, "--service", made["id"], "--secret", made["secret"])
    assert (refused.code, refused.out) == (1, "")
    assert lacks in refused.err
    assert "hub service add bench --subscribe 'bench:*' --publish 'bench:*'" in refused.err


def test_a_token_that_ends_too_soon(run: Run, tmp_path: Path) -> None:
    hub = HubProcess(tmp_path, access_ttl=20)
    try:
        hub.start()
        refused = run("bench", hub.url, "--username", "admin", "--password", ADMIN_PASSWORD, "--seconds", "5")
    finally:
        hub.close()
    assert refused.code == 1
    assert "get a fresh one, or ask for fewer --seconds." in " ".join(refused.err.split())


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--processes", "3", "--connections", "2"], 2, "more --processes than --connections"),
        (["--connections", "0"], 2, "--connections"),
        (["--url", "http://127.0.0.1:1"], 1, "No hub answers at http://127.0.0.1:1"),
        (["--token", "a.b.c"], 1, "(token_malformed)"),
    ],
)
def test_what_cannot_be_measured(run: Run, as_service: None, arguments: list[str], code: int, sentence: str) -> None:
    refused = run("bench", *arguments)
    assert (refused.code, refused.out) == (code, "")
    assert sentence in refused.err
    assert "Traceback" not in refused.err


def test_a_large_load_elsewhere_is_asked_for(run: Run, as_service: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Target, "is_loopback", property(lambda self: False))
    refused = run("bench", *SMALL)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("Warning: ")
    assert "is not on this machine. It gets 4 connections and, for some seconds at a time, as many" in refused.err
    assert "nobody to ask whether to go on: add --yes or --no-flat-out." in refused.err
    gentle = run("bench", *SMALL, "--no-flat-out")
    assert (gentle.code, gentle.err) == (0, "")
    assert "The figures are those of this machine and network." in gentle.out
    many = run("bench", "--connections", "500", "--no-flat-out")
    assert many.code == 2
    agreed = run("bench", *SMALL, "--yes")
    assert (agreed.code, agreed.err) == (0, "")


def test_more_files_than_this_process_may_open(run: Run, as_service: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    refused = run("bench", "--connections", "2000")
    assert refused.code == 1
    assert "A process may open 1,024 files here, and the bench wants 2,064; raise the limit (ulimit -n)" in refused.err
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    raised = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    run("bench", "--connections", "1000", "--token", "a.b.c")
    assert raised == [(1064, 4096)]
