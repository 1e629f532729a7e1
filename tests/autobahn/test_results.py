"""What counts as well in a report of the fuzzing client."""

from __future__ import annotations

import pytest

from .results import judge


@pytest.mark.parametrize(
    ("case", "behavior", "closing", "is_bad"),
    [
        ("1.1.1", "OK", "OK", False),
        ("6.4.1", "NON-STRICT", "OK", False),
        ("7.7.1", "INFORMATIONAL", "INFORMATIONAL", False),
        ("7.1.5", "FAILED", "OK", True),
        ("7.1.5", "OK", "WRONG CODE", True),
        ("12.1.1", "UNIMPLEMENTED", "OK", True),
        ("13.1.1", "UNIMPLEMENTED", "OK", True),
        ("13.3.1", "UNIMPLEMENTED", "UNCLEAN", False),
        ("13.3.1", "FAILED", "OK", True),
    ],
)
def test_a_case_is_judged(case: str, behavior: str, closing: str, is_bad: bool) -> None:
    assert bool(judge({case: {"behavior": behavior, "behaviorClose": closing}})) is is_bad


def test_they_are_in_the_order_of_their_numbers() -> None:
    failed = {"behavior": "FAILED", "behaviorClose": "OK"}
    assert [case for case, _ in judge({"10.1.1": failed, "2.10": failed, "2.9": failed})] == ["2.9", "2.10", "10.1.1"]
