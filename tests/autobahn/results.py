"""What a report of the fuzzing client has to say, case by case. Pure."""

from __future__ import annotations

from collections.abc import Mapping

WELL = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})
NOT_AGREED = ("13.3.", "13.4.", "13.5.", "13.6.")
"""Offers that ask the server for a smaller window or for context: the hub declines, as RFC 7692 (5.1) lets it."""


def judge(results: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    """The cases that are not well, each with why. ``results``: the report's, by case."""
    bad = []
    for case in sorted(results, key=lambda name: [int(part) for part in name.split(".")]):
        result = results[case]
        behavior, closing = result["behavior"], result["behaviorClose"]
        if behavior == "UNIMPLEMENTED" and case.startswith(NOT_AGREED):
            continue
        if behavior not in WELL or closing not in WELL:
            bad.append((case, f"{behavior}, close {closing}"))
    return bad
