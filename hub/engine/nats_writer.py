"""Appending to the stream: one message an event, acknowledged by JetStream once a majority of the replicas has it.

A publisher's id is the message's ``Nats-Msg-Id``: the stream knows those of the last ``duplicate_window`` and answers a
repeated one with the place of the first. Several drafts are one *atomic batch* (NATS ADR-50, nats-server 2.12.1): the
stream takes all of them, as neighbours, or none. It refuses a batch that has a known id in it and does not say which;
then each id is asked after, and what is new is tried again.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from hub.engine.nats_link import Headers, Link, Refused, read_answer
from hub.engine.nats_reader import Reader
from hub.engine.nats_record import Subjects, encode
from hub.errors import HubError
from hub.model import Draft, Receipt

_PATIENCE = 5.0
"""Seconds for which a publisher waits for JetStream: longer than it mostly takes to elect another leader."""
_MAX_WAITING = 64 << 20
"""Bytes of events that may wait for JetStream."""
_BATCHES = 8
"""Batches of one node under way at once; a stream takes 50 (``max_batch_inflight_per_stream``)."""
_PAUSE = 0.05
_SILENCE = 10.0
"""Seconds after which a leader without its replicas has stepped down."""

# JetStream's err_codes (server/errors.json of nats-server).
_DUPLICATE_IN_BATCH = 10201
_DUPLICATE_UNDER_WAY = 10158
_BATCH_INCOMPLETE = 10176
_BATCHES_TOO_MANY = 10210
_WRONG_LAST_SEQUENCE = 10071
_WRONG_LAST_ID = 10070
_NEVER = str(10**18)
"""A last sequence that no stream has: a message that expects it is looked at, and never stored."""


class Writer:
    """Appends for one node. ``head`` is the newest seq that was acknowledged to it."""

    def __init__(
        self, link: Link, subjects: Subjects, reader: Reader, *, replicated: bool, clock: Callable[[], float]
    ) -> None:
        self._link = link
        self._subjects = subjects
        self._reader = reader
        self._replicated = replicated
        self._clock = clock
        self._batches = asyncio.Semaphore(_BATCHES)
        self._waiting_bytes = 0
        self._waiting = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._silent_since = -math.inf
        """When JetStream last left an append unanswered, with none answered since."""
        self.head = 0

    async def append(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """See ``Engine.append``."""
        size = sum(len(draft.body) for draft in drafts)
        if self._waiting_bytes + size > _MAX_WAITING:
            raise HubError("overloaded", "More is published than JetStream takes. Try again later.")
        self._waiting_bytes += size
        self._waiting += 1
        self._idle.clear()
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._append(drafts)
        except TimeoutError:
            self._silent_since = time.monotonic()
            raise HubError(
                "log_unavailable",
                f"JetStream did not answer within {_PATIENCE:g} s, so whether the event is in the log is not known. "
                "Repeat it with the same id.",
            ) from None
        except Refused as refusal:
            raise HubError("log_unavailable", f"The log cannot be written: {refusal}. Try again later.") from refusal
        finally:
            self._waiting_bytes -= size
            self._waiting -= 1
            if not self._waiting:
                self._idle.set()

    async def probe(self, timeout: float) -> None:
        """Have the stream's leader refuse a message. Raises ``log_unavailable`` if it does not, or if it left an append
        unanswered a moment ago, as a leader does that has lost the other replicas."""
        if time.monotonic() - self._silent_since < _SILENCE:
            raise HubError("log_unavailable", "JetStream left the last append unanswered.")
        headers = {"Nats-Expected-Last-Sequence": _NEVER}
        try:
            read_answer(await self._link.ask(f"{self._subjects.log}.probe", b"", headers=headers, timeout=timeout))
        except Refused as refusal:
            if refusal.code != _WRONG_LAST_SEQUENCE:
                raise HubError("log_unavailable", f"The log cannot be written: {refusal}.") from refusal

    async def finish(self) -> None:
        """Wait for what was accepted."""
        await self._idle.wait()

    async def _append(self, drafts: Sequence[Draft]) -> list[Receipt]:
        payloads = [self._payload(draft) for draft in drafts]
        receipts: list[Receipt | None] = [None] * len(drafts)
        repeated = _repeated(drafts)
        left = [index for index in range(len(drafts)) if index not in repeated]
        while left:
            try:
                if len(left) == 1:
                    await self._append_one(drafts, payloads, left[0], receipts)
                else:
                    await self._append_batch(drafts, payloads, left, receipts)
                break
            except Refused as refusal:
                if refusal.code == _DUPLICATE_IN_BATCH:
                    await self._find_duplicates(drafts, left, receipts)
                    left = [index for index in left if receipts[index] is None]
                elif refusal.code in (_DUPLICATE_UNDER_WAY, _BATCH_INCOMPLETE, _BATCHES_TOO_MANY):
                    await asyncio.sleep(_PAUSE)
                else:
                    raise
            except HubError as error:
                # While a leader is elected nobody has the stream: nothing was stored, so that it can be tried again.
                if not error.extra.get("nobody"):
                    raise
                await asyncio.sleep(_PAUSE)
        for index, first in repeated.items():
            receipt = receipts[first]
            assert receipt is not None
            receipts[index] = receipt._replace(duplicate=True)
        return [receipt for receipt in receipts if receipt is not None]

    async def _append_one(
        self, drafts: Sequence[Draft], payloads: Sequence[bytes], index: int, receipts: list[Receipt | None]
    ) -> None:
        draft = drafts[index]
        headers = self._headers(draft) or None
        subject = self._subjects.of(draft.topics)
        ack = read_answer(await self._link.ask(subject, payloads[index], headers=headers, timeout=_PATIENCE))
        if ack.get("duplicate"):
            receipts[index] = await self._first(drafts, index, ack["seq"])
        else:
            self._stored(drafts, [index], ack["seq"], receipts)

    async def _append_batch(
        self, drafts: Sequence[Draft], payloads: Sequence[bytes], left: Sequence[int], receipts: list[Receipt | None]
    ) -> None:
        name = secrets.token_hex(8)
        async with self._batches:
            for number, index in enumerate(left, 1):
                draft = drafts[index]
                headers = self._headers(draft) | {"Nats-Batch-Id": name, "Nats-Batch-Sequence": str(number)}
                subject = self._subjects.of(draft.topics)
                if number < len(left):
                    await self._link.send(subject, payloads[index], headers)
                else:
                    headers["Nats-Batch-Commit"] = "1"
                    answer = await self._link.ask(subject, payloads[index], headers=headers, timeout=_PATIENCE)
        self._stored(drafts, left, read_answer(answer)["seq"], receipts)

    def _stored(
        self, drafts: Sequence[Draft], stored: Sequence[int], last: int, receipts: list[Receipt | None]
    ) -> None:
        """They are in the log, as neighbours, through ``last``."""
        self.head = max(self.head, last)
        self._silent_since = -math.inf
        for index, seq in zip(stored, range(last + 1 - len(stored), last + 1), strict=True):
            receipts[index] = Receipt(drafts[index].id, seq, drafts[index].time)

    async def _find_duplicates(
        self, drafts: Sequence[Draft], left: Sequence[int], receipts: list[Receipt | None]
    ) -> None:
        """Fill in the receipts of those whose ids are known."""
        keyed = [index for index in left if drafts[index].dedupe is not None]
        places = await asyncio.gather(*(self._place(drafts[index]) for index in keyed))
        for index, seq in zip(keyed, places, strict=True):
            if seq is not None:
                receipts[index] = await self._first(drafts, index, seq)

    async def _place(self, draft: Draft) -> int | None:
        """Where the event with this id is, if it is known.

        Nothing but a message asks that: one that expects what is never so, and is stored in no case. A stream of one
        replica looks at the sequence it expects before it looks at its id, and one of several the other way round; the
        last id it expects is looked at after both, but in a stream of several only by all replicas.
        """
        assert draft.dedupe is not None
        expectation = "Nats-Expected-Last-Sequence" if self._replicated else "Nats-Expected-Last-Msg-Id"
        headers = {"Nats-Msg-Id": draft.dedupe, expectation: _NEVER}
        try:
            ack = read_answer(
                await self._link.ask(self._subjects.of(draft.topics), b"", headers=headers, timeout=_PATIENCE)
            )
        except Refused as refusal:
            if refusal.code in (_WRONG_LAST_SEQUENCE, _WRONG_LAST_ID):
                return None
            raise
        seq: int = ack["seq"]
        return seq

    async def _first(self, drafts: Sequence[Draft], index: int, seq: int) -> Receipt:
        """The first receipt of an event that is published again; raises ``id_conflict`` if it is another one."""
        draft, first = drafts[index], await self._reader.record(seq)
        if first is None:
            # Retention was faster than the dedupe window. What it said cannot be compared any more.
            return Receipt(draft.id, seq, draft.time, duplicate=True)
        if first.fingerprint != draft.fingerprint:
            raise conflict(draft, index)
        return Receipt(draft.id, seq, first.time, duplicate=True)

    def _headers(self, draft: Draft) -> Headers:
        headers: Headers = {}
        if draft.dedupe is not None:
            headers["Nats-Msg-Id"] = draft.dedupe
        if draft.expires_at is not None:
            # Whole seconds, so that readers, who look at the time themselves, are the stricter ones.
            headers["Nats-TTL"] = str(max(1, math.ceil(draft.expires_at - self._clock())))
        return headers

    def _payload(self, draft: Draft) -> bytes:
        payload = encode(draft)
        # The headers have some 200 bytes at most.
        if len(payload) + 512 > self._link.max_payload:
            raise HubError(
                "event_too_large",
                f"The event and its targets have {len(payload)} bytes; the NATS servers take {self._link.max_payload} "
                "(max_payload), with what is around it.",
            )
        return payload


def _repeated(drafts: Sequence[Draft]) -> dict[int, int]:
    """Drafts whose key another one before them has: which is whose. Raises ``id_conflict``."""
    firsts: dict[str, int] = {}
    repeated: dict[int, int] = {}
    for index, draft in enumerate(drafts):
        if draft.dedupe is None:
            continue
        first = firsts.setdefault(draft.dedupe, index)
        if first != index:
            if drafts[first].fingerprint != draft.fingerprint:
                raise conflict(draft, index)
            repeated[index] = first
    return repeated


def conflict(draft: Draft, index: int) -> HubError:
    """What a publisher is told who used an id for something else."""
    extra: dict[str, Any] = {"index": index}
    return HubError(
        "id_conflict",
        f"The id {draft.id!r} was used for an event with other content. Use a new id for a new event.",
        **extra,
    )
