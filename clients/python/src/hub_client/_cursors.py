"""Where a subscription keeps its place between two lives of its program."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class CursorStore(Protocol):
    """Keeps one cursor; a row of your own database does as well. Called between events, on the thread that reads."""

    def load(self) -> str | None:
        """The cursor; None: there is none yet."""
        ...

    def save(self, cursor: str) -> None:
        """Keep it instead of the last one, whatever happens after this returned."""
        ...


class CursorFile:
    """A cursor in a file, replaced as a whole: a crash leaves the old one or the new one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def load(self) -> str | None:
        """The cursor; None if there is no file."""
        try:
            return self._path.read_text().strip() or None
        except FileNotFoundError:
            return None

    def save(self, cursor: str) -> None:
        """Write, and wait for the disk."""
        new = self._path.with_name(self._path.name + ".new")
        with new.open("w") as file:
            file.write(cursor)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
