"""The contract of an engine: it keeps the one log and carries what is new in it to this node.

Engines know only model and errors. ``tests/engine`` holds every engine to what is said here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from hub.model import Draft, Entry, Page, PresenceChange, Receipt, Topic


class Sink(Protocol):
    """Where an engine delivers to: this node's hub. Called on the event loop; no call blocks."""

    def deliver(self, entries: Sequence[Entry]) -> None:
        """The tail of the log: every entry after ``head`` at the start, each once, in the order of ``seq``."""

    def signal(self, draft: Draft) -> None:
        """An ephemeral event, at most once."""

    def presence_changed(self, change: PresenceChange) -> None:
        """Somebody came to or left a topic."""


class Engine(Protocol):
    """A log, its tail, signals and presence.

    Sequence numbers (``seq``) are positive, grow with the log's order and are never used twice within an ``epoch``.
    """

    @property
    def epoch(self) -> str:
        """Names this log; another log has another epoch. ASCII letters and digits. Known once started."""

    @property
    def head(self) -> int:
        """The seq of the newest entry that is durable (0: none). The tail may be a moment behind it."""

    @property
    def reach(self) -> int:
        """No cursor that any node of this log handed out is past this seq: a later one is of another log."""

    @property
    def floor(self) -> int:
        """Entries up to this seq are no longer retained (0: all are)."""

    @property
    def size(self) -> int:
        """Bytes of the events that are retained. Those past their time are deleted soon (a second or two), and count
        until then."""

    @property
    def inherited(self) -> Mapping[str, int]:
        """Epochs of the logs that this one was restored from, and up to which seq it has the same entries."""

    @property
    def nodes(self) -> int:
        """Nodes of this log that live, this one included, as far as it knows."""

    @property
    def refilled(self) -> int:
        """Entries that did not come by the tail, and were read from the log and delivered in their place."""

    async def start(self, sink: Sink) -> None:
        """Open or create the log, and deliver its tail from now on. Raises ``OSError`` or ``HubError``."""

    async def stop(self) -> None:
        """Finish what was accepted, then let go of everything. Safe to call twice."""

    async def append(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """Append durable drafts (1,000 at most), all or none, in their order, with nothing in between them.

        Returns once they are on disk: whatever happens to the process after that, they are in the log, and they are
        delivered to the sink. A draft whose ``dedupe`` key is known within the dedupe window is not appended again: its
        receipt is the first one's with ``duplicate`` set. Raises ``id_conflict`` (with ``index``) if its
        ``fingerprint`` differs, and ``overloaded`` if too much waits; then nothing was appended. Raises
        ``log_unavailable`` if the log cannot be written: then it most likely was not, and repeating it with the same
        ids settles it. Cancelling the call does not take back what was handed in.
        """

    async def read(self, topics: Collection[Topic], after: int | None, limit: int) -> Page:
        """A page of the entries of some topics; see ``Page`` for what it promises.

        ``after=None``: the newest ``limit`` entries, oldest first. Entries past their ``expires_at`` are left out.
        A page may hold fewer than ``limit`` entries and still have ``more``: it is bounded in bytes too. What
        ``append`` has returned for is seen. Raises ``log_unavailable``.
        """

    async def scan(self, after: int, limit: int) -> Page:
        """A page of all entries after ``after``, of whatever topics: for those who keep something made of the log.

        As ``read`` with every topic there is, but an entry past its ``expires_at`` may still be in it.
        """

    def signal(self, draft: Draft) -> None:
        """Send an ephemeral event to every node, at most once, with no promise."""

    def touch(self, topic: Topic, user: str) -> None:
        """The user is in the topic, on this node. The first touch of all nodes is a join."""

    def leave(self, topic: Topic, user: str) -> None:
        """The user is no longer in the topic on this node. The last leave of all nodes is a leave."""

    def members(self, topic: Topic) -> frozenset[str]:
        """Who is in the topic, on all nodes, as far as this node knows."""

    async def probe(self) -> None:
        """Prove that the log can be written and that the sink got what was written last, without adding to the log.

        Raises ``log_unavailable`` if it does not.
        """
