"""``hub backup`` and ``hub restore``: what a data directory holds, in one file and back."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.local import AsJson, DataDir, settings_of, whoever_runs_this, with_store
from hub.cli.output import Failure, result, result_json, say, stderr
from hub.model import timestamp

if TYPE_CHECKING:
    from hub.backup.archive import Progress
    from hub.backup.manifest import Manifest
    from hub.database.store import Store
    from hub.settings import Settings

_LINE = 10.0
"""Seconds between two lines of it where there is no terminal."""


def backup(
    file: Annotated[
        Path,
        typer.Argument(help="The archive to be made, such as hub-2026-01-31.tar, or .tar.gz to have it smaller."),
    ],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Write events, users and keys of the data directory to one file, whether the hub runs or not; print its name.

    Keep it as you keep passwords: it holds everybody's events, and the key that signs. A signing key or secret of your
    own (HUB_SIGNING_KEY_FILE, HUB_SIGNING_SECRET) is not in it unless the file is in the data directory. Its directory
    needs room for two copies while it is made.
    """
    from hub.backup import archive, snapshot

    settings = settings_of(data_dir)
    with _failures():
        archive.refuse_existing(file)
        _note(data_dir, "data.backup", {"file": file.name})
        with _shown() as progress:
            manifest = snapshot.take(settings, file, progress)
    say(f"{_described(manifest)}, in {_size(file.stat().st_size)}.")
    if settings.database_url is not None:
        say("Users and rights are not in it: they are in PostgreSQL. Dump that before this (pg_dump).")
    if settings.engine == "nats":
        say("The events are not in it: they are in NATS. Back up its stream after this (nats stream backup).")
    _result(file, manifest, as_json=as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="An archive that hub backup made.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the hub's files that are there.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only look whether the archive is whole.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Put a backup into the data directory of a hub that does not run, all or nothing.

    Everything is as it was when the backup was made: who was disabled, logged out or given rights since then, which
    keys were retired, is to be done again. Clients whose place in the log is later than the backup are told to load
    their state anew; the others go on where they were.
    """
    from hub.backup import archive
    from hub.backup.restore import restore as put_back
    from hub.settings import load

    with _failures(), _shown() as progress:
        if check:
            manifest = archive.extract(file, None, progress)
        else:
            settings = load() if data_dir is None else load(data_dir=data_dir)
            manifest = put_back(file, settings.data_dir, force=force, progress=progress)
    if check:
        say(f"The backup is whole: {_described(manifest)}.")
    else:
        _note(data_dir, "data.restore", {"file": file.name, "made": timestamp(manifest.made)})
        say(f"Restored into {settings.data_dir}: {_described(manifest)}.")
        say("What was changed since then (users disabled, rights, keys retired) is to be done again; then hub serve.")
    _result(file, manifest, as_json=as_json)


def _note(data_dir: Path | None, action: str, details: dict[str, str]) -> None:
    """That somebody took all there is, or put something else in its place, stands in the audit log."""
    from hub.identity.audit import Record
    from hub.identity.audit_log import AuditLog

    async def work(_: Settings, store: Store) -> None:
        await AuditLog(store).write(Record(whoever_runs_this(), action, details=details))

    with_store(data_dir, work)


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    from hub.backup.manifest import BackupError
    from hub.data_directory import StartError

    try:
        yield
    except (BackupError, StartError) as error:
        raise Failure(str(error)) from None


@contextlib.contextmanager
def _shown() -> Iterator[Progress]:
    """Shows what takes longer than a moment: a bar at a terminal, otherwise a line now and then."""
    if stderr().is_terminal:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        bar = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(),
            console=stderr(), transient=True,
        )  # fmt: skip
        with bar:
            task = bar.add_task("", total=None)
            yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
        return
    yield _lines()


def _lines() -> Callable[[str, int, int], None]:
    due = time.monotonic() + _LINE

    def tell(what: str, done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _LINE
            print(f"{what}: {_size(done)} of {_size(total)}", file=sys.stderr, flush=True)

    return tell


def _described(manifest: Manifest) -> str:
    names = ", ".join(part.name for part in manifest.parts)
    log = "" if manifest.log is None else f", the log from {manifest.log.floor} to {manifest.log.head}"
    return f"{names} as of {timestamp(manifest.made)}{log}"


def _result(file: Path, manifest: Manifest, *, as_json: bool) -> None:
    if as_json:
        result_json({"file": str(file), **manifest.json()})
    else:
        result(str(file))


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
