"""What an archive says of itself: when it was made, how far its log reaches, and of each part the size, mode and hash.

Pure. The manifest has a hash of its own, so that damage to it is noticed like damage to a part. Knows no other module
but the error with which everything here is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FORMAT = 1

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BackupError(Exception):
    """A backup cannot be made, read or restored. The message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the data directory. ``mode``: its permission bits; ``bytes``: its size."""

    name: str
    bytes: int
    mode: int
    sha256: str


@dataclass(frozen=True, slots=True)
class LogPlace:
    """How far the log reaches: entries after ``floor`` up to ``head``, of the log ``epoch``."""

    epoch: str
    floor: int
    head: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """``made`` is in Unix seconds; ``version`` is that of the hub. ``log`` is None if the log is kept elsewhere."""

    made: float
    version: str
    log: LogPlace | None
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.bytes for part in self.parts)

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {"format": FORMAT, **asdict(self), "parts": [asdict(part) for part in self.parts]}

    def encode(self) -> bytes:
        """As it stands in the archive."""
        content = self.json()
        return json.dumps(content | {"sha256": _hash(content)}, indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, text: bytes) -> Manifest:
        """Read what ``encode`` wrote; raises ``BackupError``."""
        try:
            content = json.loads(text)
            said = content.pop("sha256")
            if content["format"] > FORMAT:
                raise BackupError("The backup was made by a newer hub; restore it with that version.")
            if said != _hash(content):
                raise BackupError("The backup is damaged: its manifest was changed.")
            log = content["log"]
            return cls(
                made=float(content["made"]),
                version=str(content["version"]),
                log=None if log is None else LogPlace(str(log["epoch"]), int(log["floor"]), int(log["head"])),
                parts=tuple(_part(one) for one in content["parts"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BackupError("The backup is damaged: its manifest cannot be read.") from None


def _part(said: Mapping[str, Any]) -> Part:
    name, mode, sha256 = said["name"], int(said["mode"]), said["sha256"]
    if not _NAME.fullmatch(name) or not _SHA256.fullmatch(sha256) or not 0 <= mode <= 0o777:
        raise ValueError(name)
    return Part(name, int(said["bytes"]), mode, sha256)


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
