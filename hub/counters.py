"""What happened on this node since the start: numbers that only grow, for the metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hub.histogram import Histogram


@dataclass(slots=True)
class Counters:
    """Counted by whoever does it."""

    published: int = 0
    duplicates: int = 0
    failed: int = 0
    limited: int = 0
    """Publishes over their rate."""
    opened: int = 0
    refused: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """The same by the code of the refusal."""
    closed: Counter[str] = field(default_factory=Counter)
    """Connections that the hub ended, by the code that they were told."""
    evicted: int = 0
    dead: int = 0
    """Connections cut because their peer was silent."""
    resets: int = 0
    reset_reasons: Counter[str] = field(default_factory=Counter)
    catch_ups: int = 0
    publish_seconds: Histogram = field(default_factory=Histogram)
    """From when an event was handed to the log until it was there."""
    loop_lag_seconds: Histogram = field(default_factory=Histogram)
    """How late the event loop was to do what was due."""
