"""Making a backup of a data directory, whether its hub runs or not.

Each database is copied from one moment of it, by SQLite's own online backup (sqlite.org/backup.html) within a read
transaction: its writers go on, and the copy is of where they were when it began. The order makes the pair consistent:
the database first, then the keys, the log last. So nothing in the copy of the database points behind the end of the
copied log, and a key that was rotated meanwhile is one that the database comes to know at the start.

Knows the archive, the data directory, settings, and the SQL of the log; everything blocks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import stat
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from hub.backup import archive
from hub.backup.archive import Progress
from hub.backup.manifest import BackupError, LogPlace, Manifest, Part
from hub.data_directory import DATABASE, LOG, SIGNING_KEY
from hub.engine import sqlite_log
from hub.settings import Settings

_PAGES = 2048
"""Copied at once (8 MiB): between two pieces Ctrl-C works, and progress is told."""


def take(settings: Settings, path: Path, progress: Progress) -> Manifest:
    """Write a backup to ``path``, which must not exist. Its directory needs room for two copies meanwhile.

    Raises ``BackupError``; then nothing is left of it.
    """
    archive.refuse_existing(path)
    # What lies there from before, where it is kept in PostgreSQL now, is nobody's.
    database = [DATABASE] if settings.database_url is None else []
    sources = [name for name in (*database, *_keys(settings), LOG) if (settings.data_dir / name).is_file()]
    if not sources:
        raise BackupError(f"There is nothing to back up in {settings.data_dir}: no log, no database, no key.")
    try:
        _require_room(path.parent, sum((settings.data_dir / name).stat().st_size for name in sources))
        # Made by mkdtemp for its owner only.
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as staging:
            made = time.time()
            parts = tuple(_copy(settings.data_dir / name, Path(staging) / name, progress) for name in sources)
            log = _place(Path(staging) / LOG) if LOG in sources else None
            manifest = Manifest(made, version("notification-hub"), log, parts)
            archive.write(path, manifest, Path(staging), progress)
    except OSError as error:
        raise BackupError(f"The backup {path} cannot be written: {error.strerror or error}.") from error
    return manifest


def _keys(settings: Settings) -> list[str]:
    """Names of the files in the data directory that sign or did. Those elsewhere are their owner's to keep."""
    given = [*settings.signing_key_previous, *filter(None, (settings.signing_key_file,))]
    inside = [path.name for path in given if path.resolve().parent == settings.data_dir.resolve()]
    return list(dict.fromkeys([SIGNING_KEY, *inside]))


def _copy(source: Path, target: Path, progress: Progress) -> Part:
    if source.suffix == ".db":
        _copy_database(source, target, progress)
    else:
        shutil.copyfile(source, target)
    found = hashlib.sha256()
    with target.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
        size = file.tell()
    return Part(target.name, size, stat.S_IMODE(source.stat().st_mode), found.hexdigest())


def _copy_database(source: Path, target: Path, progress: Progress) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with (
            contextlib.closing(sqlite_log.connect(source)) as origin,
            contextlib.closing(sqlite_log.connect(target)) as copy,
        ):
            # Whatever is written from now on, the pages of this moment are read: otherwise each piece would begin a
            # transaction of its own, and a hub that writes all the time would never let the copy end.
            origin.execute("BEGIN")
            origin.execute("SELECT count(*) FROM sqlite_master").fetchone()
            size = origin.execute("PRAGMA page_size").fetchone()[0]

            def tell(_: int, left: int, total: int) -> None:
                progress(f"copying {source.name}", (total - left) * size, total * size)

            origin.backup(copy, pages=_PAGES, progress=tell)
            origin.execute("ROLLBACK")
            # One file, without a WAL beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
            # A backup of what is broken is found out now, and not on the day that it is needed.
            [verdict] = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"{source} cannot be copied: {error}.") from error
    if verdict != "ok":
        raise BackupError(f"{source} is damaged ({verdict}): restore an older backup.")


def _place(log: Path) -> LogPlace:
    with contextlib.closing(sqlite_log.connect(log)) as connection:
        return LogPlace(*sqlite_log.place(connection))


def _require_room(directory: Path, size: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < 2 * size:
        raise BackupError(
            f"{directory} has {free >> 20} MiB free, and the backup needs up to {(2 * size >> 20) + 1} MiB while it is "
            "made: make room, or name a file elsewhere."
        )
