"""docs/grants.md says what ``policy`` does, row by row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hub import tenancy
from hub.model import Grants, Principal, Topic, topic
from hub.policy import Action, expand, matches, may

PAGE = (Path(__file__).parent.parent / "docs" / "grants.md").read_text()


def table(first_column: str) -> list[list[str]]:
    """The rows of the table that begins with this column, without backticks."""
    lines = PAGE[PAGE.index(f"| {first_column} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(("pattern", "name", "matched"), table("pattern"))
def test_patterns(pattern: str, name: str, matched: str) -> None:
    assert matches(expand(pattern, "alice"), topic(name)) is (matched == "yes")


def of(said: str) -> tuple[str, str]:
    """``user of acme``: what, and which tenant's."""
    what, _, tenant = said.partition(" of ")
    return what, tenant


def in_full(said: str) -> Topic:
    name, tenant = of(said)
    return topic(name, tenant)


@pytest.mark.parametrize(("caller", "granted", "action", "name", "allowed"), table("caller"))
def test_rights(caller: str, granted: str, action: str, name: str, allowed: str) -> None:
    kind, tenant = of(caller)
    rights = dict(re.findall(r"(subscribe|publish|topics) (\S+)", granted))
    principal = Principal(
        subject=tenancy.join(tenant, "alice"),
        kind="service" if kind == "service" else "user",
        session="s",
        expires_at=0,
        admin=kind == "admin",
        grants=Grants(
            tuple(rights[key] for key in ("subscribe",) if key in rights),
            tuple(rights[key] for key in ("publish",) if key in rights),
        ),
        topics=tuple(topic(rights[key], tenant) for key in ("topics",) if key in rights),
    )
    assert may(principal, Action[action.upper()], in_full(name)) is (allowed == "yes")


def test_every_action_is_in_the_table() -> None:
    assert {Action[row[2].upper()] for row in table("caller")} == set(Action)
