"""Events as they travel: encoded once, in requests as large as the hub takes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from hub_client._frames import encode
from hub_client._models import NewEvent

# One request: what the hub takes (docs/protocol.md, section 2), and half of its default ``max_request_bytes``.
MAX_EVENTS = 1000
MAX_BYTES = 4 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Batch:
    """Events as JSON texts, encoded once, with their ids; ``durable``: all of them are."""

    ids: Sequence[str]
    texts: Sequence[str]
    durable: bool

    @classmethod
    def of(cls, events: Sequence[NewEvent]) -> Batch:
        """Encode events that have ids."""
        texts = [encode(event.body()) for event in events]
        return cls([event.id or "" for event in events], texts, all(event.durable for event in events))

    @property
    def array(self) -> str:
        """The body of the request that publishes all of them."""
        return f"[{','.join(self.texts)}]"

    def parts(self) -> Iterator[Batch]:
        """What goes in one request each."""
        start = size = 0
        for end, text in enumerate(self.texts):
            length = len(text.encode()) + 1
            if end > start and (end - start == MAX_EVENTS or size + length > MAX_BYTES):
                yield replace(self, ids=self.ids[start:end], texts=self.texts[start:end])
                start, size = end, 0
            size += length
        if self.texts:
            yield replace(self, ids=self.ids[start:], texts=self.texts[start:])


def split(refused: list[T], index: int | None) -> list[list[T]]:
    """What to send instead of several events that were refused together, so that those to blame are refused alone.

    ``index``: the one that the hub named. What may hold more of them is halved: each is not sent over and over again,
    however many are to blame.
    """
    parts, rest = [], refused
    if index is not None and 0 <= index < len(refused):
        parts, rest = [refused[:index], refused[index : index + 1]], refused[index + 1 :]
    middle = len(rest) // 2
    return [part for part in (*parts, rest[:middle], rest[middle:]) if part]
