"""A sink that remembers, and drafts that are easy to recognise."""

from __future__ import annotations

from collections.abc import Sequence

from hub.model import Draft, Entry, PresenceChange, Topic


class Recorder:
    """A sink that writes down what it is handed."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.signals: list[Draft] = []
        self.presence: list[PresenceChange] = []

    def deliver(self, entries: Sequence[Entry]) -> None:
        self.entries.extend(entries)

    def signal(self, draft: Draft) -> None:
        self.signals.append(draft)

    def presence_changed(self, change: PresenceChange) -> None:
        self.presence.append(change)


def draft(
    body: str,
    *topics: str,
    id: str | None = None,
    fingerprint: bytes = b"",
    time: float = 1_000_000.0,
    expires_at: float | None = None,
    exclude: tuple[str, ...] = (),
) -> Draft:
    """A draft whose body is easy to recognise."""
    return Draft(
        id=id or body,
        topics=tuple(Topic(name) for name in topics or ("news",)),
        body=body.encode(),
        time=time,
        dedupe=f"user:alice {id}" if id else None,
        fingerprint=fingerprint,
        exclude=exclude,
        expires_at=expires_at,
    )


def bodies(entries: Sequence[Entry]) -> list[str]:
    return [entry.body.decode() for entry in entries]
