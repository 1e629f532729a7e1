"""Migrations: they make what the models say, keep what is there, and no hub runs on another schema than its own."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, text

from hub.database import schema
from hub.database.base import Base
from hub.database.store import Database, Store, database_of
from hub.migrations import models  # noqa: F401 - all of them are to be compared.
from hub.settings import Settings, SettingsError

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]


@pytest.fixture
def empty(database: dict[str, Any], request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """The settings of a database without tables."""
    if database:
        database |= {"database_url": request.getfixturevalue("postgres").empty_database()}
    return Settings(data_dir=tmp_path, **database)


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    database = database_of(settings)
    try:
        await database.revision()  # SQLite makes its file.
        yield database
    finally:
        await database.close()


async def upgrade_to(database: Database, revision: str) -> None:
    async with database.writing.begin() as connection:
        await connection.run_sync(schema.upgrade, revision)


def test_they_are_numbered_in_order_without_branches() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    steps = list(ScriptDirectory.from_config(config).walk_revisions())[::-1]
    assert [step.revision for step in steps] == [f"{number:04}" for number in range(1, len(steps) + 1)]
    assert [step.revision for step in steps] == [migration.revision for migration in schema.migrations()]
    assert [step.down_revision for step in steps[1:]] == [step.revision for step in steps[:-1]]


async def test_they_make_what_the_models_say(empty: Settings) -> None:
    def differences(connection: Connection) -> list[Any]:
        options = {"compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)

    async with opened(empty) as database:
        assert await database.upgrade() == schema.migrations()
        async with database.reading.connect() as connection:
            assert await connection.run_sync(differences) == []


async def test_what_the_first_one_had_is_there_after_the_last(empty: Settings) -> None:
    rows = {
        "accounts": [
            {"id": "alice", "kind": "user", "name": "alice", "secret_hash": "h", "admin": True,
             "disabled": False, "subscribe": ["a:*"], "publish": [], "topics": ["a:b"],
             "version": 3, "revoked_at": 1.5, "created_at": 1.25},
        ],
        "sessions": [
            {"id": "s", "account_id": "alice", "family_hash": "f", "generation": 2, "rotated_at": 1.0,
             "created_at": 1.0, "expires_at": 1e11, "access_expires_at": 2.0},
        ],
        "refresh_tokens": [{"hash": "t", "session_id": "s", "generation": 2}],
        "audit": [
            {"seq": 2**40, "time": 1.125, "action": "login", "outcome": "ok", "actor": "user:alice", "session": "s",
             "address": "", "target": "", "details": {"ü": "\0\ud800"}, "hash": "x"},
        ],
    }  # fmt: skip

    def insert(connection: Connection) -> None:
        found = MetaData()
        found.reflect(connection)
        for name, values in rows.items():
            connection.execute(found.tables[name].insert(), values)

    def read(connection: Connection) -> dict[str, list[dict[str, Any]]]:
        found = MetaData()
        found.reflect(connection)
        return {
            name: [
                {column: row[column] for column in values[0]}
                for row in connection.execute(found.tables[name].select()).mappings()
            ]
            for name, values in rows.items()
        }

    async with opened(empty) as database:
        await upgrade_to(database, "0001")
        async with database.writing.begin() as connection:
            await connection.run_sync(insert)
        await database.upgrade()
        async with database.reading.connect() as connection:
            assert await connection.run_sync(read) == rows


@pytest.fixture
def one_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The hub of next year: it has a further migration, which makes a table anew that others refer to."""
    directory = tmp_path / "next % year"  # A path that a configuration file would misread.
    (directory / "versions").mkdir(parents=True)
    for file in (*schema.MIGRATIONS.glob("*.*"), *schema.MIGRATIONS.glob("versions/*.py")):
        (directory / file.relative_to(schema.MIGRATIONS)).write_text(file.read_text())
    (directory / "versions" / "9000_names_are_optional.py").write_text(
        "import sqlalchemy as sa\n"
        "from alembic import op\n"
        f"revision, down_revision = '9000', {schema.head()!r}\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('accounts') as table:\n"
        "        table.alter_column('name', existing_type=sa.Text(), nullable=True)\n"
    )
    monkeypatch.setattr(schema, "MIGRATIONS", directory)
    schema.migrations.cache_clear()
    yield
    monkeypatch.undo()
    schema.migrations.cache_clear()


async def fill(settings: Settings) -> None:
    """A database of this year, with a user and a session."""
    async with opened(settings) as database:
        await database.upgrade()
        async with database.writing.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO accounts (id, kind, name, secret_hash, admin, disabled, subscribe, publish, topics, "
                    "version, revoked_at, created_at) "
                    "VALUES ('alice', 'user', 'alice', '', true, false, '[]', '[]', '[]', 0, 0, 0)"
                )
            )
            await connection.execute(text("INSERT INTO sessions VALUES ('s', 'alice', 'f', 0, 0, 0, 1, 1)"))


async def sessions_of(store: Store) -> list[str]:
    async with store.read() as db:
        return list((await db.scalars(text("SELECT id FROM sessions"))).all())


@pytest.mark.both_databases(False)
async def test_a_file_is_brought_up_to_date_when_it_is_opened_and_a_copy_kept(
    empty: Settings, request: pytest.FixtureRequest
) -> None:
    await fill(empty)
    before = schema.head()
    request.getfixturevalue("one_more")
    store = Store(empty)
    await store.open()
    assert await sessions_of(store) == ["s"], "the table to which they refer was made anew, and they are still there"
    async with store.write() as db:
        await db.execute(text("UPDATE accounts SET name = NULL"))
    await store.close()
    copy = empty.data_dir / f"identity.db.at-{before}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT name FROM accounts").fetchall() == [("alice",)]
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(before,)]


async def test_one_that_fails_changes_nothing(empty: Settings, request: pytest.FixtureRequest) -> None:
    await fill(empty)
    before = schema.head()
    request.getfixturevalue("one_more")
    last = next((schema.MIGRATIONS / "versions").glob("9000*"))
    last.write_text(last.read_text() + "    op.execute('SELECT no_such_column FROM accounts')\n")
    async with opened(empty) as database:
        with pytest.raises((SettingsError, Exception), match="no_such_column"):
            await database.upgrade()
        assert await database.revision() == before
        async with database.reading.connect() as connection:
            columns = await connection.run_sync(lambda inner: inspect(inner).get_columns("accounts"))
    assert not next(column for column in columns if column["name"] == "name")["nullable"]


async def test_a_newer_schema_is_refused(empty: Settings, request: pytest.FixtureRequest) -> None:
    with pytest.MonkeyPatch.context():
        request.getfixturevalue("one_more")
        await fill(empty)
    request.getfixturevalue("monkeypatch").undo()
    schema.migrations.cache_clear()
    store = Store(empty.model_copy(update={"database_migrate": True}))
    with pytest.raises(SettingsError, match=rf"at version 9000.*up to {schema.head()} only: a newer hub"):
        await store.open()
    await store.close()


async def test_tables_without_a_version_are_refused(empty: Settings) -> None:
    async with opened(empty) as database, database.writing.begin() as connection:
        await connection.execute(text("CREATE TABLE accounts (id text)"))
    store = Store(empty)
    with pytest.raises(SettingsError, match=r"no version of them.*Move it away"):
        await store.open()
    await store.close()


async def test_postgresql_is_not_changed_by_a_start_unless_that_is_wanted(
    empty: Settings, request: pytest.FixtureRequest
) -> None:
    if empty.database_url is None:
        return  # See above: a file is.
    for what in ("an empty one", "an older one"):
        if what == "an older one":
            request.getfixturevalue("one_more")
        store = Store(empty)
        with pytest.raises(SettingsError, match=r"lacks \d+ migrations?: run `hub migrate`"):
            await store.open()
        await store.close()
        willing = Store(empty.model_copy(update={"database_migrate": True}))
        await willing.open()
        await willing.close()
        await store.open()
        await store.close()


async def test_many_may_bring_it_up_to_date_at_the_same_moment(empty: Settings) -> None:
    async with contextlib.AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(opened(empty)) for _ in range(5)]
        done = await asyncio.gather(*(database.upgrade() for database in databases))
    assert sorted(done, key=len) == [(), (), (), (), schema.migrations()]
