"""``hub migrate``: bring the schema of the database up to date."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.local import DataDir, settings_of
from hub.cli.output import Failure, result, say

if TYPE_CHECKING:
    from hub.database.schema import Migration
    from hub.settings import Settings


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with 1 if there is something to do.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Bring the database of this hub's settings up to date.

    Prints what it does, one migration a line: all of them are done, or none. Several may run at once: one does it, the
    others wait for it. Hubs of the version before go on meanwhile. A database in the data directory is also brought up
    to date when its hub starts; one in PostgreSQL only if HUB_DATABASE_MIGRATE says so.
    """
    from hub.database import schema

    name, revision, due = asyncio.run(_work(settings_of(data_dir), check=check))
    for migration in due:
        result(f"{migration.revision} {migration.what}")
    if not due:
        say(f"The database {name} is up to date, at version {schema.head()}.")
    elif check:
        at = "is empty" if revision is None else f"is at version {revision}"
        raise Failure(f"The database {name} {at}, and this hub needs {schema.head()}: run `hub migrate`.")
    else:
        say(f"The database {name} is at version {schema.head()} now.")


async def _work(settings: Settings, *, check: bool) -> tuple[str, str | None, tuple[Migration, ...]]:
    from hub.database import schema
    from hub.database.store import database_of

    database = database_of(settings)
    try:
        revision = await database.revision()
        due = schema.due(revision, database.name)
        if due and not check:
            due = await database.upgrade()
        return database.name, revision, due
    finally:
        await database.close()
