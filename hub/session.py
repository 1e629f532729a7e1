"""The state of one connection: who it speaks for, what it follows, how far it is. No I/O, no tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from hub.model import Principal, Topic
from hub.outbox import Link, Outbox, State


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
    topics: frozenset[Topic]
    opened_at: float
    id: str
    version: int = 0
    acked: str | None = None
    _unblocked: asyncio.Future[None] | None = None

    @property
    def user(self) -> str:
        """The subject that the connection speaks for."""
        return self.principal.subject

    @property
    def own_name(self) -> str:
        """This client of this principal, and of nobody else who calls a client the same."""
        return f"{self.principal.source} {self.client}"

    @property
    def names(self) -> frozenset[str]:
        """What an event may exclude this client by."""
        return frozenset((self.client, self.own_name))

    def is_excluded(self, names: Collection[str]) -> bool:
        """Whether an event that excludes these (client ids and ``own_name`` s) is not for this session."""
        return self.client in names or self.own_name in names

    async def until_writable(self) -> bool:
        """Wait until the transport takes more; False if the connection ended instead.

        Whoever reads the client's requests waits here first, so that a client that does not read is not read either.
        """
        while not self.outbox.is_writable():
            if self.outbox.state is State.CLOSED:
                return False
            if self._unblocked is None:
                self._unblocked = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._unblocked)
        return True

    def wake(self) -> None:
        """The transport takes more, or the connection ended: let those go on who wait for it."""
        if self._unblocked is not None:
            if not self._unblocked.done():
                self._unblocked.set_result(None)
            self._unblocked = None
