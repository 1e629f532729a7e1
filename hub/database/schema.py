"""The schema: which migrations a database has had, and which it needs before this hub can use it.

A migration is a file ``NNNN_what_it_does.py`` in ``hub/migrations/versions``, applied by Alembic, in one transaction
with all others that are due. Numbers are in order and without branches (a test sees to that), so an older schema and a
newer one can be told apart by looking. Synchronous, on a connection in a transaction that the caller began. Knows
settings.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, inspect, text

from hub.settings import SettingsError

MIGRATIONS = Path(__file__).parent.parent / "migrations"
_VERSION_TABLE = "alembic_version"
_FIRST_TABLE = "accounts"


class Migration(NamedTuple):
    """One step: ``revision`` is its number, ``what`` it does in a few words."""

    revision: str
    what: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All there are, the first one first."""
    names = sorted(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    return tuple(Migration(name[:4], name[5:].replace("_", " ")) for name in names)


def head() -> str:
    """The newest migration: where a database has to be."""
    return migrations()[-1].revision


def revision_of(connection: Connection, where: str) -> str | None:
    """The newest migration that the database has had; None if it has none of our tables yet.

    ``where`` names the database, for people. Raises ``SettingsError`` if the tables have no version.
    """
    tables = set(inspect(connection).get_table_names())
    if _VERSION_TABLE in tables:
        found: str | None = connection.scalar(text(f"SELECT version_num FROM {_VERSION_TABLE}"))  # noqa: S608
        if found is not None:
            return found
    if _FIRST_TABLE in tables:
        raise SettingsError(
            f"The database {where} has tables of a hub and no version of them: it was made before there were versions. "
            "Move it away, and the hub makes a new one."
        )
    return None


def due(revision: str | None, where: str) -> tuple[Migration, ...]:
    """The migrations that a database lacks which had all up to ``revision``.

    Raises ``SettingsError`` if that is none of ours: then a newer hub was there.
    """
    known = [migration.revision for migration in migrations()]
    if revision is None:
        return migrations()
    if revision not in known:
        raise SettingsError(
            f"The database {where} is at version {revision}, and this hub knows versions up to {head()} only: a newer "
            "hub has used it. Run that one, or go back to a copy of the database from before (docs/postgresql.md)."
        )
    return migrations()[known.index(revision) + 1 :]


def upgrade(connection: Connection, to: str = "head") -> None:
    """Apply the migrations up to ``to``; all of them or, if one raises and the caller rolls back, none."""
    # Alembic takes a fifth of a second to import, and a database that is where it should be needs nothing of it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
