"""Counts of durations, small enough to hand from process to process: 1 % exact from ten microseconds to an hour."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_GROWTH = math.log(1.01)
_LEAST = 10


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds below which half, nine tenths and 99 of 100 were; and the longest. ``count``: of how many."""

    count: int
    p50: float
    p90: float
    p99: float
    max: float


class Durations:
    """Durations in microseconds, by buckets of which each is 1 % wider than the one before."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts: Counter[int] = Counter(counts or {})

    def add(self, microseconds: int) -> None:
        """Count one."""
        self._counts[_bucket(microseconds)] += 1

    def extend(self, several: Iterable[int]) -> None:
        """Count several."""
        self._counts.update(map(_bucket, several))

    def merge(self, other: Durations) -> None:
        """Count those of another one, too."""
        self._counts.update(other._counts)

    def pairs(self) -> list[tuple[int, int]]:
        """For JSON; ``Durations(dict(pairs))`` is the same again."""
        return sorted(self._counts.items())

    def latency(self) -> Latency | None:
        """The summary; None without any."""
        total = self._counts.total()
        if not total:
            return None
        shares = {0.5: 0.0, 0.9: 0.0, 0.99: 0.0, 1.0: 0.0}
        seen = 0
        for bucket, count in sorted(self._counts.items()):
            before, seen = seen, seen + count
            for share in shares:
                if before < share * total <= seen:
                    shares[share] = _milliseconds(bucket)
        return Latency(total, *shares.values())


def _bucket(microseconds: int) -> int:
    return round(math.log(max(microseconds, _LEAST)) / _GROWTH)


def _milliseconds(bucket: int) -> float:
    return math.exp(bucket * _GROWTH) / 1000
