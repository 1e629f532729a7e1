"""Whether every event arrived at every subscriber exactly once and in order. Pure.

All subscribers of a topic are sent the same events in the same order. So the order is kept once, and each subscriber is
only a place in it: what it reads next must be what stands there next. Only one that departs from it is judged event by
event. The order itself must have each publisher's events as they were published, one after the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from hub.bench.wire import LANE_DIGITS


@dataclass(frozen=True, slots=True)
class Verdict:
    """Deliveries, over all subscribers. ``disordered``: those that came later than one that was published later, and
    subscribers who saw another order than the others.
    """

    expected: int = 0
    missing: int = 0
    repeated: int = 0
    disordered: int = 0

    @property
    def good(self) -> bool:
        """Each once, in order."""
        return not (self.missing or self.repeated or self.disordered)

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(
            self.expected + other.expected,
            self.missing + other.missing,
            self.repeated + other.repeated,
            self.disordered + other.disordered,
        )


class Reader:
    """One subscriber, as the ledger sees it."""

    __slots__ = ("at", "stray")

    def __init__(self) -> None:
        self.at = 0
        self.stray: _Lanes | None = None


class _Lanes:
    """What came, publisher by publisher."""

    def __init__(self) -> None:
        self.next: dict[int, int] = {}
        self.gaps: set[bytes] = set()
        self.repeated = 0
        self.disordered = 0

    def take(self, token: bytes) -> bool:
        """Count one event; whether it is the one that had to come next from its publisher."""
        lane, number = int(token[:LANE_DIGITS]), int(token[LANE_DIGITS:])
        due = self.next.get(lane, 0)
        if number == due:
            self.next[lane] = due + 1
            return True
        if number > due:
            self.gaps.update(_token(token, each) for each in range(due, number))
            self.next[lane] = number + 1
        elif token in self.gaps:
            self.gaps.remove(token)
            self.disordered += 1
        else:
            self.repeated += 1
        return False


def _token(like: bytes, number: int) -> bytes:
    return b"%b%0*d" % (like[:LANE_DIGITS], len(like) - LANE_DIGITS, number)


class Ledger:
    """The events of one phase at one topic."""

    def __init__(self) -> None:
        self._order: list[bytes] = []
        self._published = _Lanes()

    def take(self, reader: Reader, tokens: list[bytes]) -> None:
        """What a subscriber got next."""
        if reader.stray is None:
            known = self._order[reader.at : reader.at + len(tokens)]
            if tokens == known or (tokens[: len(known)] == known and self._extend(tokens[len(known) :])):
                reader.at += len(tokens)
                return
            reader.stray = _Lanes()
            for token in self._order[: reader.at]:
                reader.stray.take(token)
        for token in tokens:
            reader.stray.take(token)

    def _extend(self, tokens: list[bytes]) -> bool:
        """Go on with these, if all of them are what had to come next."""
        lanes = self._published
        before = dict(lanes.next)
        for token in tokens:
            lane, number = int(token[:LANE_DIGITS]), int(token[LANE_DIGITS:])
            if lanes.next.get(lane, 0) != number:
                lanes.next = before
                return False
            lanes.next[lane] = number + 1
        self._order += tokens
        return True

    def judge(self, readers: list[Reader], published: Mapping[int, int]) -> Verdict:
        """``published``: how many events each publisher (lane) has published."""
        total = sum(published.values())
        missing = repeated = disordered = 0
        for reader in readers:
            stray = reader.stray
            if stray is None:
                missing += total - reader.at
                continue
            lost = len(stray.gaps) + sum(count - stray.next.get(lane, 0) for lane, count in published.items())
            missing += lost
            repeated += stray.repeated
            # It had every event once and each publisher's in order, and still departed: it saw another order.
            disordered += stray.disordered or int(not lost and not stray.repeated)
        return Verdict(total * len(readers), missing, repeated, disordered)

    @property
    def digest(self) -> str:
        """The same for the same order: processes compare it."""
        return hashlib.blake2b(b"".join(self._order), digest_size=16).hexdigest()
