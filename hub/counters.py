"""What happened on this node since the start: numbers that only grow, for the metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Counted by whoever does it."""

    published: int = 0
    duplicates: int = 0
    failed: int = 0
    opened: int = 0
    refused: int = 0
    evicted: int = 0
    resets: int = 0
