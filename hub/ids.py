"""Ids that nobody can guess, made many at a time."""

from __future__ import annotations

import os

_DIGITS = 24
_MANY = 256


class RandomIds:
    """Ids of 96 random bits in hexadecimal. The system is asked for many at once: one by one they would cost a
    noticeable part of what an event or a connection costs. For one thread."""

    def __init__(self) -> None:
        self._digits = ""
        self._next = 0

    def __call__(self) -> str:
        """The next one."""
        if self._next == len(self._digits):
            self._digits = os.urandom(_DIGITS // 2 * _MANY).hex()
            self._next = 0
        start = self._next
        self._next = start + _DIGITS
        return self._digits[start : self._next]


random_id = RandomIds()
