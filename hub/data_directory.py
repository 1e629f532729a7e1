"""The directory of one hub: what is in it; made private, and locked while the hub runs. Told in one sentence if that
cannot be."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

LOG = "log.db"
"""The embedded engine's."""
DATABASE = "identity.db"
"""Where it is not PostgreSQL."""
SIGNING_KEY = "signing.key"
LOCK = "hub.lock"
UNFINISHED = "restore.unfinished"
"""A restore was cut short: what is there may be half of one hub and half of another."""


class StartError(Exception):
    """The hub cannot start; the message is one sentence for the person who starts it."""


@contextlib.contextmanager
def held(path: Path, *, restoring: bool = False) -> Iterator[None]:
    """Make the directory, private, and hold its lock meanwhile: two hubs would write one log.

    Raises ``StartError``, also after a restore that was cut short, unless this is for another one (``restoring``).
    """
    import fcntl  # Not on Windows, where no hub runs, and whoever administers one needs its files' names only.

    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except FileExistsError as error:
        raise StartError(f"The data directory {path} is a file: name a directory with HUB_DATA_DIR.") from error
    except OSError as error:
        raise StartError(
            f"The data directory {path} cannot be written ({error.strerror}): mend its permissions or name another "
            "with HUB_DATA_DIR."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StartError(
            f"Another hub runs on the data directory {path}: stop it, or name another with HUB_DATA_DIR."
        ) from error
    try:
        if not restoring and (path / UNFINISHED).exists():
            raise StartError(
                f"A restore into the data directory {path} was cut short: do it again (hub restore FILE --force)."
            )
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def unfinished(path: Path) -> Iterator[None]:
    """Mark the directory as half restored until the block has ended without an error."""
    mark = path / UNFINISHED
    with mark.open("wb") as file:
        os.fsync(file.fileno())
    sync(path)
    yield
    mark.unlink()
    sync(path)


def sync(path: Path) -> None:
    """Let what was made, renamed or removed in a directory survive a power cut. Blocks."""
    if os.name != "posix":
        return  # There, directories cannot be opened.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
