"""What the hub keeps: its directory, keys, database and log. Nothing is made or changed. Everything blocks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from hub import data_directory
from hub.data_directory import StartError
from hub.database import schema
from hub.database.store import database_of
from hub.doctor.finding import Finding, fail, ok, warn
from hub.engine import sqlite_log
from hub.errors import HubError
from hub.identity import keys
from hub.settings import Settings, SettingsError

_NEW = "is made at the first start"


def examine(settings: Settings) -> Iterator[Finding]:
    """All of these."""
    yield directory(settings.data_dir)
    yield from signing_keys(settings)
    yield database(settings)
    if settings.engine == "embedded":
        yield log(settings.data_dir / data_directory.LOG)


def directory(path: Path) -> Finding:
    """Private, writable, and whole."""
    if not path.exists():
        return ok("data directory", f"{path} {_NEW}")
    if not path.is_dir() or not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return fail(
            "data directory",
            f"{path} is no directory that you may write",
            "run this as the hub's user, mend its permissions, or name another with HUB_DATA_DIR",
        )
    if (path / data_directory.UNFINISHED).exists():
        return fail("data directory", f"a restore into {path} was cut short", "do it again: hub restore FILE --force")
    if stat.S_IMODE(path.stat().st_mode) & 0o007:
        return warn("data directory", f"{path} is open to everybody", f"run: chmod o-rwx {path}")
    return ok("data directory", str(path.resolve()))


def signing_keys(settings: Settings) -> Iterator[Finding]:
    """The key that signs, and those accepted besides."""
    if settings.signing_secret is not None:
        yield ok("signing key", "HUB_SIGNING_SECRET (HS256)")
    else:
        given = settings.signing_key_file
        path = settings.data_dir / data_directory.SIGNING_KEY if given is None else given
        if given is None and not path.exists():
            yield ok("signing key", _NEW)
        else:
            yield _key("signing key", path, private=True)
    for path in settings.signing_key_previous:
        yield _key("previous key", path, private=False)


def _key(check: str, path: Path, *, private: bool) -> Finding:
    try:
        key = keys.read_private(path) if private else keys.read_verifying(path)
    except SettingsError as error:
        return fail(check, str(error).rstrip("."), "see to it that the hub's user, and nobody else, can read it")
    return ok(check, f"{path} ({key.algorithm}, {key.id})")


def database(settings: Settings) -> Finding:
    """Users, services, sessions."""
    if settings.database_url is not None:
        return asyncio.run(_elsewhere(settings))
    path = settings.data_dir / data_directory.DATABASE
    if not path.exists():
        return ok("database", _NEW)
    try:
        with contextlib.closing(sqlite_log.connect(path)) as connection:
            verdict: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict != "ok":
        return fail("database", f"{path}: {verdict}", "restore a backup (hub restore)")
    return _private("database", path, f"{path.stat().st_size >> 10} KiB, whole")


async def _elsewhere(settings: Settings) -> Finding:
    try:
        found = database_of(settings)
        try:
            due = schema.due(await found.revision(), found.name)
        finally:
            await found.close()
    except (SettingsError, HubError, StartError) as error:
        return fail("database", str(error).rstrip("."), "see to HUB_DATABASE_URL, and to the server that it names")
    if due:
        return warn("database", f"{found.name}: {len(due)} migrations are due", "run: hub migrate")
    return ok("database", f"{found.name}, up to date")


def log(path: Path) -> Finding:
    """The events. Not checked whole: there may be many; ``hub backup`` does."""
    if not path.exists():
        return ok("log", _NEW)
    try:
        with contextlib.closing(sqlite_log.connect(path)) as connection:
            epoch, floor, head = sqlite_log.place(connection)
    except (sqlite3.Error, TypeError) as error:
        return fail("log", f"{path}: {error}", "restore a backup (hub restore)")
    said = f"from {floor} to {head} (epoch {epoch}), {path.stat().st_size >> 20} MiB"
    return _private("log", path, said)


def newest(settings: Settings) -> float | None:
    """When the newest event was written, in Unix seconds."""
    path = settings.data_dir / data_directory.LOG
    if settings.engine != "embedded" or not path.exists():
        return None
    try:
        with contextlib.closing(sqlite_log.connect(path)) as connection:
            row = connection.execute("SELECT time FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    except sqlite3.Error:
        return None  # ``log`` says why.
    return None if row is None else float(row[0])


def _private(check: str, path: Path, said: str) -> Finding:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return warn(check, f"{path} can be read by others", f"run: chmod 600 {path}")
    return ok(check, said)
