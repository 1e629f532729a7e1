"""How much is measured, and what that may cost the hub. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LANES = 32
"""Publishers that POST one event each."""
BATCH = 100
"""Events of one POST, where they come in batches."""
BATCH_LANES = 4
WINDOW = 512
"""Events that a broadcast is ahead of its subscribers at most."""
WINDOW_OF_ONE = 768
"""The same with a single subscriber: what the hub holds for it by default (256 KiB), so that nothing is dropped."""
BEHIND = 50
"""Events that each client resumes."""
TTL = 60.0
"""Seconds for which a durable event of the bench is of use; after them nobody is sent it any more."""
MOST_DURABLE = 30_000
"""Durable events of one measurement: about 10 MB of the hub's log, of 1 GiB that it keeps by default."""

_MODEST_CONNECTIONS = 200
_MODEST_DELIVERIES = 20_000
"""Deliveries a second."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller chose. ``seconds``: of each measurement; ``rate``: events a second, where they come singly."""

    connections: int = 100
    seconds: float = 3.0
    rate: float = 20.0
    processes: int = 1
    flat_out: bool = True

    @property
    def measurements(self) -> int:
        """Those that take ``seconds``."""
        return 8 if self.flat_out else 2

    @property
    def duration(self) -> float:
        """About how many seconds all of it takes."""
        return 4 + self.measurements * (self.seconds + 0.5) + 2 * self.connections / 1000

    @property
    def is_large(self) -> bool:
        """Whether those who use the hub meanwhile may notice."""
        return (
            self.flat_out or self.connections > _MODEST_CONNECTIONS or self.connections * self.rate > _MODEST_DELIVERIES
        )
