"""Counts of durations in steps of ten microseconds: cheap to add to, exact enough for percentiles."""

from __future__ import annotations

from collections.abc import Sequence

_STEP = 10
_BUCKETS = 200_000
LONGEST_MS = _BUCKETS * _STEP / 1000
"""Longer ones are counted as that."""


class Histogram:
    """Durations in microseconds."""

    def __init__(self) -> None:
        self._counts = [0] * (_BUCKETS + 1)
        self.count = 0
        self.largest = 0

    def add(self, microseconds: int) -> None:
        """Count one."""
        bucket = microseconds // _STEP
        self._counts[bucket if bucket < _BUCKETS else _BUCKETS] += 1
        self.count += 1
        if microseconds > self.largest:
            self.largest = microseconds

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Milliseconds below which these shares (ascending) of the durations are; zeros if there are none."""
        found: list[float] = []
        seen = 0
        wanted = [share * self.count for share in shares]
        for bucket, count in enumerate(self._counts):
            seen += count
            while len(found) < len(wanted) and count and seen >= wanted[len(found)]:
                found.append((bucket + 0.5) * _STEP / 1000)
        return found + [0.0] * (len(wanted) - len(found))


CURVE = (*(share / 100 for share in range(99)), 0.99, 0.995, 0.999, 1.0)
"""The shares of a distribution that are kept for the plots."""


def summary(histogram: Histogram) -> dict[str, object]:
    """What is kept of a histogram, in milliseconds."""
    p50, p99, p999 = histogram.quantiles((0.5, 0.99, 0.999))
    return {
        "count": histogram.count,
        "p50_ms": p50,
        "p99_ms": p99,
        "p999_ms": p999,
        "max_ms": histogram.largest / 1000,
        "curve_ms": histogram.quantiles(CURVE),
    }
