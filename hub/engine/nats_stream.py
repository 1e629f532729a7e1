"""The stream that is the log: created at the first start, verified at every other, never changed behind anybody's back.

A stream outlives the settings of the hubs that use it, and several of them start at once. So the first one makes it; a
setting that differs from the stream's stops the start with a sentence that says what differs and how to mend it. The
log's epoch lies in the stream's metadata.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hub.engine.nats_link import Link, Refused
from hub.engine.nats_record import Subjects
from hub.errors import HubError

_NOT_FOUND = 10059
_NAME_IN_USE = 10058
_NO_PEERS = 10005
_NO_CLUSTER = 10008
_NO_STORAGE = 10047
_PATIENCE = 10.0
"""Seconds for which a hub that starts waits for servers that start, too."""
_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What the settings say of the stream. Times are seconds, sizes bytes (of messages, with what is around them)."""

    name: str
    replicas: int
    storage: str
    retention_age: float
    retention_bytes: int
    dedupe_window: float


@dataclass(frozen=True, slots=True)
class StreamState:
    """How far the stream reaches: entries after ``floor`` up to ``head`` are retained, in ``size`` bytes."""

    epoch: str
    floor: int
    head: int
    size: int


class Stream:
    """One stream, by its leader's word."""

    def __init__(self, link: Link, settings: StreamSettings) -> None:
        self._link = link
        self._settings = settings
        self.name = settings.name
        self.subjects = Subjects(settings.name)

    async def open(self) -> StreamState:
        """Find or make the stream. Raises ``OSError`` with a sentence if it is not what the settings say."""
        name, settings = self.name, self._settings
        if settings.dedupe_window > settings.retention_age:
            raise OSError(
                "a NATS stream knows the ids of its own messages only: HUB_DEDUPE_WINDOW has to be at most "
                "HUB_RETENTION_AGE"
            )
        wanted = self._configuration()
        try:
            info = await self._find_or_create(wanted)
        except Refused as refusal:
            raise OSError(f"the NATS stream {name!r} cannot be used: {refusal}{self._advice(refusal)}") from refusal
        except HubError as error:
            raise OSError(f"the NATS stream {name!r} cannot be looked at: is JetStream on? {error.detail}") from error
        problems = _differences(wanted, info["config"])
        if problems:
            raise OSError(
                f"the NATS stream {name!r} is not what the settings say, and a hub that starts changes none: "
                f"{'; '.join(problems)}. Change the setting, or the stream (`nats stream edit {name}`)"
            )
        return _state(info)

    async def state(self) -> StreamState:
        """How far it reaches now. Raises ``log_unavailable``."""
        try:
            return _state(await self._link.call(f"STREAM.INFO.{self.name}", timeout=2))
        except Refused as refusal:
            raise HubError("log_unavailable", f"The stream cannot be looked at: {refusal}.") from refusal

    async def _find_or_create(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """The stream's ``info``.

        Servers that have just started take a while to find each other and a leader. A name that is in use is another
        hub's stream, which was faster; also that may not be there for a moment.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                try:
                    return await self._link.call(f"STREAM.INFO.{self.name}", timeout=2)
                except Refused as refusal:
                    if refusal.code != _NOT_FOUND:
                        raise
                return await self._link.call(f"STREAM.CREATE.{self.name}", wanted)
            except (Refused, HubError) as error:
                final = isinstance(error, Refused) and error.code not in (_NO_PEERS, _NO_CLUSTER, _NAME_IN_USE)
                if final or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.25)

    def _configuration(self) -> dict[str, Any]:
        settings, subjects = self._settings, self.subjects
        return {
            "name": settings.name,
            "subjects": [subjects.all],
            "retention": "limits",
            "storage": settings.storage,
            "num_replicas": settings.replicas,
            # One floor for all: limits by subject would take entries out of the middle of the log.
            "max_age": int(settings.retention_age * _NANO),
            "max_bytes": settings.retention_bytes,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "discard": "old",
            "duplicate_window": int(settings.dedupe_window * _NANO),
            "allow_direct": True,
            "allow_atomic": True,
            "allow_msg_ttl": True,
            "republish": {"src": subjects.all, "dest": f"{subjects.tail}.>"},
            "metadata": {"hub-epoch": secrets.token_hex(6)},
        }

    def _advice(self, refusal: Refused) -> str:
        if "replica" in refusal.words or "no suitable peers" in refusal.words:
            return f"; {self._settings.replicas} replicas need as many NATS servers: set HUB_NATS_REPLICAS to theirs"
        if refusal.code == _NO_STORAGE:
            return "; HUB_RETENTION_BYTES are set aside on each of its servers: lower it, or raise their max_file"
        return ""


def _state(info: dict[str, Any]) -> StreamState:
    state = info["state"]
    epoch = (info["config"].get("metadata") or {}).get("hub-epoch", "")
    # An empty stream's first is the one that comes next.
    return StreamState(epoch, max(0, state["first_seq"] - 1), state["last_seq"], state["bytes"])


def _seconds(nanoseconds: Any) -> str:
    return f"{(nanoseconds or 0) / _NANO:g}s"


_SAID: dict[str, tuple[str, Callable[[Any], str]]] = {
    "storage": ("HUB_NATS_STORAGE", str),
    "num_replicas": ("HUB_NATS_REPLICAS", str),
    "max_age": ("HUB_RETENTION_AGE", _seconds),
    "max_bytes": ("HUB_RETENTION_BYTES", str),
    "duplicate_window": ("HUB_DEDUPE_WINDOW", _seconds),
}
"""The settings that stand for parts of the stream's configuration."""


def _differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What differs, in words."""
    problems = []
    for part, value in wanted.items():
        if part == "metadata":
            if "hub-epoch" not in (found.get(part) or {}):
                problems.append("it was not made by a hub (HUB_NATS_STREAM names another one)")
        elif part == "republish":
            has = found.get(part) or {}
            if (has.get("src"), has.get("dest")) != (value["src"], value["dest"]):
                problems.append(f"it does not republish {value['src']} to {value['dest']}")
        elif found.get(part) != value:
            name, write = _SAID.get(part, ("", str))
            wants = f"{name} says" if name else "the hub needs"
            problems.append(f"its {part} is {write(found.get(part))}, and {wants} {write(value)}")
    return problems
