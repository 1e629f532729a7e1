"""Limits of rates: how often something may be done, for each of many keys, in bounded memory.

A bucket holds ``count`` takings and fills up evenly over ``seconds``. It is kept as one number, the time at which it
will be full again (the generic cell rate algorithm, ITU-T I.371), so that an idle key costs nothing: a full bucket is
no bucket. Pure: no I/O, no tasks; belongs to one thread. Knows notation.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Any, Generic, TypeVar

from hub import notation

MAX_KEYS = 65536
"""Keys of one ``Buckets``, unless it says otherwise: about 12 MB."""

_ROUNDING = 1e-6
"""Seconds that are an error of rounding."""

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` at once, and as many again every ``seconds``, evenly. A ``count`` of 0 is no limit."""

    count: float
    seconds: float

    @classmethod
    def read(cls, value: Any, *, number_of: Callable[[str], float] = float) -> Any:
        """``10/15m`` is ten in a quarter of an hour, ``0`` no limit; raises ``ValueError``. What is neither text nor a
        number is returned as it is. ``number_of`` reads the number."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return value
        expected = f"{value!r} is not a rate: write a number and a time, such as 10/15m or 100/s, or 0 for no limit"
        number, _, span = str(value).partition("/")
        try:
            count = number_of(number)
            # "100/s" is a hundred in one second.
            seconds = notation.seconds(f"1{span.strip()}" if span.strip().isalpha() else span) if span else 1.0
        except ValueError:
            raise ValueError(expected) from None
        if not (math.isfinite(count) and count >= 0 and seconds > 0) or (count and not span):
            raise ValueError(expected)
        return cls(count, seconds)

    @classmethod
    def read_bytes(cls, value: Any) -> Any:
        """The same of bytes: ``16MiB/10s``."""
        return cls.read(value, number_of=notation.size)

    @property
    def each(self) -> float:
        """Seconds in which a bucket gains one; 0 without a limit."""
        return self.seconds / self.count if self.count else 0.0

    def wait(self, full_at: float, amount: float, now: float) -> float:
        """The seconds until ``amount`` could be taken from a bucket that is full at ``full_at``; 0 if it can be now.

        More than a whole bucket can be taken from a full one.
        """
        lacking = full_at - now + min(amount * self.each, self.seconds) - self.seconds
        return lacking if lacking > _ROUNDING else 0.0

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        return f"{self.count:g}/{self.seconds:g}s" if self else "0"


class Buckets(Generic[_Key]):
    """One bucket of ``rate`` for each key.

    At most ``max_keys`` buckets are remembered; over that, the one used longest ago is forgotten, which fills it. So
    whoever wants one forgotten must first use as many others: choose the number so that this takes longer than the
    bucket needs to fill by itself, or costs the one who tries more than it is worth.

    ``clock``: seconds that only grow.
    """

    def __init__(self, rate: Rate, *, max_keys: int = MAX_KEYS, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._each = rate.each
        self._max_keys = max_keys
        self._clock = clock
        # Key → when its bucket is full, the one used longest ago first.
        self._full_at: OrderedDict[_Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: _Key, amount: float = 1) -> float:
        """Take ``amount`` if it is there, and return 0; otherwise take nothing, and return the seconds to wait for it.

        What is larger than a whole bucket is taken from a full one, and leaves it in debt.
        """
        wait = self.wait(key, amount)
        if not wait:
            self._set(key, self._from(key) + amount * self._each)
        return wait

    def wait(self, key: _Key, amount: float = 1) -> float:
        """The seconds until ``amount`` could be taken; 0 if it can be now."""
        now = self._clock()
        return self._rate.wait(self._full_at.get(key, now), amount, now)

    def charge(self, key: _Key, amount: float = 1) -> None:
        """Take ``amount`` whether it is there or not: for what is known only afterwards. The debt is at most one whole
        bucket."""
        most = self._clock() + 2 * self._rate.seconds
        self._set(key, min(self._from(key) + amount * self._each, most))

    def give_back(self, key: _Key, amount: float = 1) -> None:
        """Undo a ``take`` or a ``charge``."""
        if key in self._full_at:
            self._set(key, self._full_at[key] - amount * self._each)

    def refill(self, key: _Key) -> None:
        """Forget all that was taken."""
        self._full_at.pop(key, None)

    def _from(self, key: _Key) -> float:
        now = self._clock()
        return max(self._full_at.get(key, now), now)

    def _set(self, key: _Key, full_at: float) -> None:
        if not self._rate:
            return
        now = self._clock()
        if full_at <= now:
            self._full_at.pop(key, None)
        else:
            self._full_at[key] = full_at
            self._full_at.move_to_end(key)
        # Those used longest ago are the likeliest to be full. Two for each that may have come: it shrinks.
        for _ in range(2):
            oldest = next(iter(self._full_at), None)
            if oldest is None or (self._full_at[oldest] > now and len(self._full_at) <= self._max_keys):
                return
            del self._full_at[oldest]


def network(address: str) -> str:
    """Whom a client address stands for: itself, or the /64 of an IPv6 one, all of which one customer is given
    (RFC 6177). What is not an address is returned as it is.

    An IPv4 address written as IPv6 (RFC 4291, 2.5.5.2) is that IPv4 address.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Network((int(found), 64), strict=False))
