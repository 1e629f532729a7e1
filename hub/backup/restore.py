"""Putting a backup back where no hub runs.

Nothing that is there is touched before all of the archive was checked. A restore that is cut short after that leaves a
mark with which no hub starts (``data_directory``), until one is done whole.

The log that comes back gets a new epoch: the one it was taken from may have gone on, and its later cursors name other
events. Clients that have one are told (``reset``, ``replaced``); the cursors of up to the backup stay good. Knows the
archive, the data directory and the SQL of the log; everything blocks.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hub import data_directory
from hub.backup import archive
from hub.backup.archive import Progress
from hub.backup.manifest import BackupError, Manifest
from hub.data_directory import DATABASE, LOG
from hub.engine import sqlite_log

_BESIDE = ("", "-wal", "-shm", "-journal")


def restore(path: Path, data_dir: Path, *, force: bool, progress: Progress) -> Manifest:
    """Put the archive's parts into the data directory, which is made if need be.

    What is in it is replaced with ``force``, and otherwise refused. Raises ``BackupError``, and ``StartError`` if a hub
    runs on it.
    """
    archive.read_manifest(path)  # Before a directory is made for what is no backup.
    with data_directory.held(data_dir, restoring=True):
        present = sorted(name.name for name in _contents(data_dir))
        if present and not force:
            raise BackupError(
                f"{data_dir} is not empty ({', '.join(present[:3])}): name another directory with --data-dir, or say "
                "--force to replace the hub's files in it."
            )
        try:
            with tempfile.TemporaryDirectory(prefix=".restore-", dir=data_dir) as name:
                staging = Path(name)
                manifest = archive.extract(path, staging, progress)
                _begin_anew(staging)
                owner = data_dir.stat()
                for part in manifest.parts:
                    _adopt(staging / part.name, part.mode, owner)
                with data_directory.unfinished(data_dir):
                    for name in (DATABASE, LOG, *(part.name for part in manifest.parts)):
                        for beside in _BESIDE:
                            (data_dir / f"{name}{beside}").unlink(missing_ok=True)
                    for part in manifest.parts:
                        (staging / part.name).rename(data_dir / part.name)
                    data_directory.sync(data_dir)
        except OSError as error:
            raise BackupError(f"{data_dir} cannot be written: {error.strerror or error}.") from error
        except sqlite3.Error as error:
            raise BackupError(f"What is in the backup is no data of a hub: {error}.") from error
    return manifest


def _contents(data_dir: Path) -> Iterator[Path]:
    """What is there, without what every hub leaves behind. A mark of a restore that was cut short is no content."""
    ours = {data_directory.LOCK, data_directory.UNFINISHED}
    return (found for found in data_dir.iterdir() if found.name not in ours)


def _begin_anew(staging: Path) -> None:
    """Give the log its new epoch, and let the database that goes with it follow."""
    log, database = staging / LOG, staging / DATABASE
    if not log.exists():
        return
    with contextlib.closing(sqlite_log.connect(log)) as connection:
        old = sqlite_log.place(connection)[0]
        connection.execute("BEGIN IMMEDIATE")
        new = sqlite_log.fork(connection)
        connection.execute("COMMIT")
    _sync(log)
    if database.exists():
        with contextlib.closing(sqlite_log.connect(database)) as connection:
            # The inbox remembers of which log it has read how much; what it read is in this one, at the same place.
            known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'inbox_progress'").fetchone()
            if known is not None:
                connection.execute("UPDATE inbox_progress SET epoch = ? WHERE epoch = ?", (new, old))
        _sync(database)


def _adopt(path: Path, mode: int, owner: os.stat_result) -> None:
    """Its mode, never open to the world; and its owner that of the directory, if root restores for the hub's user."""
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)
    # Others than root may not lend a key to a group: the hub would refuse it.
    path.chmod(mode & (0o770 if os.geteuid() == 0 and owner.st_uid == 0 else 0o700))


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
