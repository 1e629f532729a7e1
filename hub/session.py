"""The state of one connection: who it speaks for, what it follows, how far it is. No I/O, no tasks of its own."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from hub.model import Principal, Topic
from hub.outbox import Link, Outbox


@dataclass(slots=True, eq=False)
class Session:
    """One connection. The hub changes it; nobody else does.

    ``version`` grows with every change of ``topics``, so that a page of the log that was read for the old ones is known
    to be stale. ``acked`` is the newest cursor the client says it has dealt with.
    """

    principal: Principal
    client: str
    address: str
    link: Link
    outbox: Outbox
    topics: set[Topic]
    opened_at: float
    id: str = field(default_factory=lambda: "c_" + secrets.token_hex(8))
    version: int = 0
    acked: str | None = None
    stalled_since: float | None = None
    stalled_bytes: int = 0

    @property
    def user(self) -> str:
        """The subject that the connection speaks for."""
        return self.principal.subject
