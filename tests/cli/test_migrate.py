"""``hub migrate``, on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub.database import schema

from .conftest import Run

pytestmark = pytest.mark.both_databases


@pytest.fixture
def empty(
    database: dict[str, Any], data_dir: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Names a database without tables to the commands; its name as they say it."""
    if not database:
        return str(data_dir / "identity.db")
    url: str = request.getfixturevalue("postgres").empty_database()
    scheme, _, rest = url.partition("://")
    user, _, place = rest.partition("@")
    monkeypatch.setenv("HUB_DATABASE_URL", f"{scheme}://{user}:hunter2@{place}")
    monkeypatch.setenv("HUB_DATA_DIR", str(data_dir / "none"))  # Which commands then do without.
    return f"{scheme}://{place}"


def test_it_says_what_is_to_be_done_and_does_it(run: Run, empty: str) -> None:
    steps = "".join(f"{migration.revision} {migration.what}\n" for migration in schema.migrations())
    for code, arguments, out, said in (
        (1, ("--check",), steps, f"{empty} is empty, and this hub needs {schema.head()}: run `hub migrate`."),
        (0, (), steps, f"{empty} is at version {schema.head()} now."),
        (0, ("--check",), "", f"{empty} is up to date, at version {schema.head()}."),
        (0, (), "", f"{empty} is up to date, at version {schema.head()}."),
    ):
        outcome = run("migrate", *arguments)
        assert (outcome.code, outcome.out) == (code, out)
        assert said in outcome.err.replace("\n", "")
        assert "hunter2" not in outcome.err
    assert run("user", "list").code == 0


def test_a_database_that_is_not_there(run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/hub")
    for command in (("migrate",), ("migrate", "--check"), ("user", "list"), ("audit", "verify")):
        outcome = run(*command)
        assert outcome.code == 2
        assert "postgresql://127.0.0.1:1/hub cannot be had" in outcome.err
        assert "hunter2" not in outcome.err
