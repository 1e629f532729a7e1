"""The directory of one hub: made private, and locked while the hub runs. Told in one sentence if that cannot be."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class StartError(Exception):
    """The hub cannot start; the message is one sentence for the person who starts it."""


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Make the directory, private, and hold its lock meanwhile: two hubs would write one log. Raises ``StartError``."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / "hub.lock", os.O_RDWR | os.O_CREAT, 0o600)
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
        yield
    finally:
        os.close(descriptor)
