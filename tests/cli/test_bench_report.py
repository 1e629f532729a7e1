"""What the bench's report says, of good runs and of bad ones."""

from __future__ import annotations

import pytest

from hub.bench import results
from hub.bench.durations import Latency
from hub.bench.ledger import Verdict
from hub.bench.options import Options
from hub.bench.results import Busy, Measurement, Report
from hub.cli.bench_report import show

CALM = Busy(0.1, 0.2)


def text(capsys: pytest.CaptureFixture[str], *measurements: Measurement, **fields: object) -> str:
    report = Report("http://hub", "bench:x", {}, local=False, ceiling=2e6)
    report.measurements += measurements
    for name, value in fields.items():
        setattr(report, name, value)
    show(report)
    return capsys.readouterr().out


def test_a_good_run(capsys: pytest.CaptureFixture[str]) -> None:
    out = text(
        capsys,
        Measurement("connect", "100 connections", 1234.5, "connections", busy=CALM, limit="the hub, or the network"),
        Measurement(
            "latency_durable", "one at a time", None, "", Latency(10, 1, 2, 3.25, 4), Latency(10, 5, 6, 7, 8),
            Verdict(500), CALM,
        ),
    )  # fmt: skip
    lines = [line.split() for line in out.splitlines()]
    assert lines[1] == ["100", "connections", "1,234", "connections", "10%", "+", "20%"]
    assert lines[2] == ["one", "at", "a", "time", "1.0", "2.0", "3.2", "10%", "+", "20%"]
    assert lines[3][-3:] == ["5.0", "6.0", "7.0"]
    assert "Every event arrived exactly once and in order: 500 deliveries." in out
    assert "Everything: limited by the hub, or the network." in out
    assert "at least 2,000,000 deliveries a second" in out


def test_a_bad_one_says_what_went_wrong_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    out = text(
        capsys,
        Measurement("broadcast_ephemeral", "broadcast", 10, "deliveries", verdict=Verdict(1000, 3, 0, 0)),
        Measurement("broadcast_durable", "broadcast, durable", 10, "deliveries", verdict=Verdict(1000, 0, 2, 1)),
        Measurement("resume", "resume", 10, "events", verdict=Verdict(10), lost=2, lost_because="It closed."),
    )
    assert (
        "NOT every event arrived exactly once and in order: of 2,010 deliveries 3 are missing, 2 came twice, 1 out of"
        in out
    )
    assert "  broadcast: 3 missing, 0 twice, 0 out of order; ephemeral events are dropped for a subscriber" in out
    assert "  broadcast, durable: 0 missing, 2 twice, 1 out of order\n" in out
    assert "  resume: 2 connections ended (It closed)\n" in out
    assert "Every event arrived" not in out


def test_several_limits_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    out = text(
        capsys,
        Measurement("a", "one", 10, "x", limit="the hub, or the network"),
        Measurement("b", "two", 10, "x", limit="this client"),
        Measurement("c", "three", 10, "x", limit="this client"),
        interrupted=True,
    )
    assert "two; three: limited by this client.\nEverything else: limited by the hub, or the network.\n" in out
    assert "It was interrupted; this is what was measured until then.\n" in out


@pytest.mark.parametrize(
    ("busy", "said"),
    [
        (Busy(0.2, 0.9), "try --processes 3"),
        (Busy(0.9, 0.2), "the hub may do more"),
        (CALM, "the hub, or the network"),
    ],
)
def test_what_bounds_deliveries(busy: Busy, said: str) -> None:
    assert said in results.fan_out_limit(busy, 2)


@pytest.mark.parametrize(
    ("rate", "busy", "idle_ms", "said"),
    [
        (1000, CALM, 30, "the way there and back (30.0 ms), with 32 requests under way"),
        (100, CALM, 30, "the hub, or the network"),
        (1000, CALM, None, "the hub, or the network"),
        (1000, Busy(0.95, 0), 30, "this client"),
    ],
)
def test_what_bounds_posts(rate: float, busy: Busy, idle_ms: float | None, said: str) -> None:
    assert results.publish_limit(rate, busy, lanes=32, idle_ms=idle_ms).startswith(said)


def test_what_is_a_large_load() -> None:
    assert Options().is_large
    assert not Options(flat_out=False).is_large
    assert Options(connections=201, flat_out=False).is_large
    assert Options(rate=1000, flat_out=False).is_large
    assert Options().duration < 60
    assert Options(flat_out=False).duration < 15
