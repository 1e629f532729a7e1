"""What a look at one thing found. Pure; knows no other module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``warn``: a hub runs, but not as well or as safely as it should. ``fail``: it does not, or loses something.

    ``said`` is what was found; ``cure`` is what to do, empty where it is ``ok``.
    """

    check: str
    state: State
    said: str
    cure: str = ""


def ok(check: str, said: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", said)


def warn(check: str, said: str, cure: str) -> Finding:
    """It runs, but."""
    return Finding(check, "warn", said, cure)


def fail(check: str, said: str, cure: str) -> Finding:
    """It does not run, or loses something."""
    return Finding(check, "fail", said, cure)
