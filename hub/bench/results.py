"""What was measured, what bounded it, and the same as JSON. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from hub.bench.durations import Latency
from hub.bench.ledger import Verdict

_SATURATED = 0.85
"""Share of a core from which a process counts as the limit: it also waits for the kernel."""
_NEAR = 0.7
THE_HUB = "the hub, or the network"
"""What bounded a measurement if nothing else is known to have."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Shares of a core that the client used: the publishing process, and the busiest one of the subscribers."""

    publisher: float
    subscribers: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """One line of the report. ``name`` is stable; ``rate`` is per second of ``unit``."""

    name: str
    title: str
    rate: float | None = None
    unit: str = ""
    delivery: Latency | None = None
    """From the moment an event was due to its arrival, over all subscribers."""
    answer: Latency | None = None
    """From the same moment to the publisher's 2xx."""
    verdict: Verdict | None = None
    busy: Busy = field(default_factory=lambda: Busy(0, 0))
    limit: str = ""
    """What bounded it, in words; empty where nothing was to be bounded."""
    lost: int = 0
    """Subscribers whose connection ended meanwhile."""
    lost_because: str = ""

    @property
    def good(self) -> bool:
        """Nobody was lost, and each event arrived once and in order."""
        return not self.lost and (self.verdict is None or self.verdict.good)


@dataclass(slots=True)
class Report:
    """All of it, also of a run that was cut short."""

    url: str
    topic: str
    """What its topics begin with, for whoever looks for them in the hub's log."""
    options: dict[str, Any]
    local: bool
    """The hub shares this machine."""
    ceiling: float | None = None
    """Deliveries a second that the client itself can count."""
    measurements: list[Measurement] = field(default_factory=list)
    interrupted: bool = False
    failure: str = ""

    @property
    def verdict(self) -> Verdict:
        """Over all measurements."""
        return sum((each.verdict for each in self.measurements if each.verdict), Verdict())

    @property
    def good(self) -> bool:
        """Everything that was measured is."""
        return all(each.good for each in self.measurements)

    def as_json(self) -> dict[str, Any]:
        """For machines. Times are milliseconds, rates per second."""
        return {
            "url": self.url,
            "topic": self.topic,
            "options": self.options,
            "local": self.local,
            "ceiling": self.ceiling,
            "measurements": {
                each.name: {key: value for key, value in asdict(each).items() if key != "name"}
                for each in self.measurements
            },
            "verdict": asdict(self.verdict) | {"good": self.good},
            "interrupted": self.interrupted,
            "failure": self.failure,
        }


def fan_out_limit(busy: Busy, processes: int) -> str:
    """What bounded deliveries."""
    if busy.subscribers >= _SATURATED:
        return f"this client: its subscribers' process was busy; try --processes {processes + 1}, if there are cores"
    if busy.publisher >= _SATURATED:
        return "this client: its publishing process was busy; the hub may do more"
    return THE_HUB


def publish_limit(rate: float, busy: Busy, *, lanes: int, idle_ms: float | None) -> str:
    """What bounded single POSTs: with ``lanes`` of them under way there are not more than that many an answer."""
    if busy.publisher >= _SATURATED:
        return "this client: its publishing process was busy; the hub may do more"
    if idle_ms and rate >= _NEAR * lanes / (idle_ms / 1000):
        return f"the way there and back ({idle_ms:.1f} ms), with {lanes} requests under way"
    return THE_HUB
