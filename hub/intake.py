"""The way into the log: what a publisher says is checked, encoded, appended and answered with a receipt.

Nobody is sent anything from here: what was appended comes back by the engine's tail, on every node alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from hub.allowance import Allowance
from hub.counters import Counters
from hub.engine.base import Engine
from hub.errors import HubError
from hub.model import Draft, Principal, Receipt
from hub.publication import MAX_TARGETS, Publication, make_draft

OnAdminPublish = Callable[[Principal, Sequence[Draft]], None]
"""Told of what an administrator published, once it is done. Must be quick and not raise: publishers wait for it."""


class Intake:
    """Takes publications."""

    def __init__(
        self,
        engine: Engine,
        counters: Counters,
        allowance: Allowance,
        max_event_bytes: int,
        on_admin_publish: OnAdminPublish | None,
    ) -> None:
        self._engine = engine
        self._counters = counters
        self._allowance = allowance
        self._max_event_bytes = max_event_bytes
        self._on_admin_publish = on_admin_publish

    async def take(
        self, publisher: Principal, said: Sequence[Publication], *, exclude: tuple[str, ...] = ()
    ) -> list[Receipt]:
        """Check and append publications, all or none; returns once the durable ones are on disk.

        Raises what ``make_draft`` and ``Engine.append`` raise, with ``index`` where there are several,
        ``event_invalid`` if they have too many targets together, and ``rate_limited`` (see ``Allowance``). Ephemeral
        ones are sent after the durable ones are in the log.
        """
        return await self.hand_in(publisher, self.prepare(publisher, said, exclude=exclude))

    async def hand_in(self, publisher: Principal, drafts: Sequence[Draft]) -> list[Receipt]:
        """Append the durable ones of what was prepared, then send the others. See ``take``."""
        appended = iter(await self._append([draft for draft in drafts if draft.durable], drafts))
        receipts = [next(appended) if draft.durable else self._signal(draft) for draft in drafts]
        self._count(publisher, drafts)
        self._counters.duplicates += sum([receipt.duplicate for receipt in receipts])
        return receipts

    def signal_all(self, publisher: Principal, drafts: Sequence[Draft]) -> list[Receipt]:
        """Send what was prepared, all of it ephemeral: nothing is waited for."""
        self._count(publisher, drafts)
        return [self._signal(draft) for draft in drafts]

    def prepare(
        self, publisher: Principal, said: Sequence[Publication], *, exclude: tuple[str, ...] = ()
    ) -> list[Draft]:
        """Check publications, all or none, and encode them. Raises what ``take`` raises before it appends.

        They are counted here, also those that turn out to be refused: that is work, too.
        """
        try:
            account = self._allowance.take(publisher, len(said))
        except HubError:
            self._counters.limited += 1
            raise
        now = time.time()
        drafts: list[Draft] = []
        targets = 0
        for index, one in enumerate(said):
            try:
                draft = make_draft(one, publisher, now=now, max_bytes=self._max_event_bytes, exclude=exclude)
                targets += len(draft.topics)
                if targets > MAX_TARGETS:
                    raise HubError("event_invalid", f"A request names at most {MAX_TARGETS} targets; send several.")
            except HubError as refusal:
                if len(said) > 1:
                    refusal.extra["index"] = index
                raise
            drafts.append(draft)
        if account is not None:
            account.charge(sum([len(draft.body) for draft in drafts]))
        return drafts

    def charge(self, principal: Principal, events: int) -> None:
        """Count events of the hub's own about what somebody does as if they published them; raises ``rate_limited``."""
        self._allowance.take(principal, events)

    async def _append(self, durable: list[Draft], drafts: Sequence[Draft]) -> list[Receipt]:
        if not durable:
            return []
        begun = time.perf_counter()
        try:
            receipts = await self._engine.append(durable)
        except HubError as refusal:
            self._counters.failed += refusal.kind.status == 503
            # The engine counts what it was given; the publisher counts what they sent.
            index = refusal.extra.pop("index", None)
            if index is not None and len(drafts) > 1:
                refusal.extra["index"] = next(n for n, draft in enumerate(drafts) if draft is durable[index])
            raise
        self._counters.publish_seconds.observe(time.perf_counter() - begun)
        return receipts

    def _count(self, publisher: Principal, drafts: Sequence[Draft]) -> None:
        self._counters.published += len(drafts)
        if publisher.admin and self._on_admin_publish is not None:
            self._on_admin_publish(publisher, drafts)

    def _signal(self, draft: Draft) -> Receipt:
        self._engine.signal(draft)
        return Receipt(draft.id, None, draft.time)
