"""The client's state machine, sans I/O: inputs are method calls, what to do about them is returned, in order.

No clock, no chance, no socket: the runtime (``_runtime``) has those. docs/protocol.md, sections 4 and 5, is the
specification, and ``tests/vectors/client`` holds this to it. Knows only frames.

Promises: an event is delivered at most once per connection and only while open; the cursor moves only by frames of the
connection that is open, in their order, and never because of a receipt, a late frame or a frame that cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from hub_client._frames import Frame, Verdict, judge

BASE = 0.5
"""Seconds: the upper bound of the first wait."""
CAP = 30.0
"""Seconds: the upper bound of any wait."""
OVERLOADED = 5.0
"""Seconds that an overloaded hub (1013) is left alone at least."""

_BROKEN = frozenset({1002, 1003, 1007, 1009, 1010})
_RENEWABLE = frozenset({"token_expired", "token_revoked"})
_CODE = re.compile(r"[a-z][a-z0-9_]*")


class State(StrEnum):
    """Where a client is."""

    IDLE = "idle"
    """Not started."""
    AUTHORIZING = "authorizing"
    """Waiting for a token."""
    CONNECTING = "connecting"
    """The socket is being opened; not welcomed yet."""
    OPEN = "open"
    """Welcomed: events flow."""
    WAITING = "waiting"
    """The connection was lost; coming back soon."""
    STOPPED = "stopped"
    """Ended, by the application or by the hub."""


@dataclass(frozen=True, slots=True)
class NeedToken:
    """Get a token; ``fresh``: another one than the last. Answer with ``token`` or ``token_failed``."""

    fresh: bool


@dataclass(frozen=True, slots=True)
class Open:
    """Open a socket with the token and these parameters. When it ends, whenever that is, say ``closed``."""

    topics: tuple[str, ...]
    after: str | None
    client: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send a frame. It may hold a token, hence no repr of it."""

    frame: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand an ``event`` frame to the application."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell the application, or its log, what happened."""

    kind: Literal["open", "reset", "presence", "error", "invalid"]
    fields: Frame = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settle:
    """The request ``ref`` is over: by the hub's ``frame``, or without one, for the reason ``code`` (None: done)."""

    ref: int
    ok: bool
    frame: Frame | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Draw a time between ``min`` and ``max`` seconds, uniformly, and say ``timer`` when it is over."""

    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket, or give up opening it."""


@dataclass(frozen=True, slots=True)
class Stop:
    """It is over, and coming back would not help; ``code`` says why."""

    code: str


Output = NeedToken | Open | Send | Deliver | Notify | Settle | Wait | Close | Stop


@dataclass(frozen=True, slots=True)
class _Request:
    kind: Literal["subscribe", "unsubscribe", "publish", "auth"]
    topics: tuple[str, ...] = ()
    own: bool = False
    """Made by the core, to catch up with what was asked for while connecting."""


class Core:
    """One client: its state, its cursor, its wanted topics, and the requests that are not answered yet."""

    def __init__(self, client: str, topics: Iterable[str] = (), after: str | None = None) -> None:
        self.client = client
        self.topics: tuple[str, ...] = tuple(dict.fromkeys(topics))
        self.cursor = after
        self.state = State.IDLE
        self._attempt = 0
        self._refs = 0
        self._requests: dict[int, _Request] = {}
        self._opened: tuple[str, ...] = ()
        self._renewing = False
        # Why a fresh token was asked for, until a connection made with it got anywhere.
        self._refusal: str | None = None
        self._needs_fresh = False

    @property
    def next_ref(self) -> int:
        """The ref that the next request will have."""
        return self._refs + 1

    # --- What the application wants

    def start(self) -> list[Output]:
        """Begin, or begin again after a stop."""
        if self.state not in (State.IDLE, State.STOPPED):
            return []
        self._attempt = 0
        self._refusal = None
        return self._authorize(fresh=False)

    def subscribe(self, topics: Iterable[str]) -> list[Output]:
        """Add topics; takes ``next_ref``."""
        return self._change("subscribe", tuple(topics))

    def unsubscribe(self, topics: Iterable[str]) -> list[Output]:
        """Leave topics; takes ``next_ref``."""
        return self._change("unsubscribe", tuple(topics))

    def publish(self, event: Frame, echo: bool | None = None) -> list[Output]:
        """Publish over the socket; takes ``next_ref``. Fails at once while not open: the core keeps no outbox."""
        if self.state is not State.OPEN:
            self._refs += 1
            return [Settle(self._refs, ok=False, code="not_connected")]
        fields: dict[str, Any] = {"event": event} if echo is None else {"event": event, "echo": echo}
        return [self._send(_Request("publish"), fields)]

    def stop(self) -> list[Output]:
        """End."""
        connected = self.state in (State.CONNECTING, State.OPEN)
        self.state = State.STOPPED
        return [Close(), *self._abandon()] if connected else []

    # --- What the runtime brings

    def token(self, value: str) -> list[Output]:
        """A token that was asked for."""
        if self.state is State.AUTHORIZING:
            self.state = State.CONNECTING
            self._needs_fresh = False
            self._opened = self.topics
            return [Open(self.topics, self.cursor, self.client)]
        if self.state is State.OPEN and self._renewing:
            self._renewing = False
            return [self._send(_Request("auth"), {"token": value})]
        return []

    def token_failed(self, retry: bool, code: str | None = None) -> list[Output]:
        """No token to be had; ``retry``: now. While open the connection lives on until the hub ends it."""
        self._renewing = False
        if self.state is not State.AUTHORIZING:
            return []
        return [self._wait() if retry else self._halt(code or self._refusal or "token_unavailable")]

    def expiring(self) -> list[Output]:
        """The token of the connection ends soon."""
        if self.state is not State.OPEN or self._renewing:
            return []
        self._renewing = True
        return [NeedToken(fresh=True)]

    def timer(self) -> list[Output]:
        """The wait is over."""
        return self._authorize(fresh=self._needs_fresh) if self.state is State.WAITING else []

    def closed(self, code: int, reason: str = "") -> list[Output]:
        """The socket ended, or could not be opened (1006)."""
        if self.state not in (State.CONNECTING, State.OPEN):
            return []
        welcomed = self.state is State.OPEN
        outputs = self._abandon()
        name = reason.partition(":")[0]
        if not _CODE.fullmatch(name):
            name = f"close_{code}"
        last_chance, self._refusal = self._refusal is not None, None
        if code == 1008 and name in _RENEWABLE and not last_chance:
            self._refusal = name
            outputs += self._authorize(fresh=True)
        elif code == 1008 or code in _BROKEN or 4500 <= code <= 4999:
            outputs.append(self._halt(name))
        elif 4000 <= code <= 4499 and welcomed:
            outputs += self._authorize(fresh=False)
        else:
            outputs.append(self._wait(OVERLOADED if code == 1013 else 0))
        return outputs

    def frame(self, value: object) -> list[Output]:
        """A JSON value from the socket (None: a text that was no JSON)."""
        if self.state not in (State.CONNECTING, State.OPEN):
            return []
        verdict = judge(value)
        if verdict is Verdict.INVALID:
            return [Notify("invalid")]
        assert isinstance(value, dict)
        welcome = value["type"] == "welcome"
        if verdict is Verdict.UNKNOWN or welcome != (self.state is State.CONNECTING):
            return []
        return self._welcome(value) if welcome else self._open_frame(value)

    # --- Frames

    def _welcome(self, frame: Frame) -> list[Output]:
        self.state = State.OPEN
        self.cursor = frame["cursor"]
        self._attempt = 0
        self._refusal = None
        outputs: list[Output] = [Notify("open")]
        # The URL was written before these were asked for.
        added = tuple(topic for topic in self.topics if topic not in self._opened)
        left = tuple(topic for topic in self._opened if topic not in self.topics)
        if added:
            outputs.append(self._send(_Request("subscribe", added, own=True), {"topics": list(added)}))
        if left:
            outputs.append(self._send(_Request("unsubscribe", left, own=True), {"topics": list(left)}))
        return outputs

    def _open_frame(self, frame: Frame) -> list[Output]:
        match frame["type"]:
            case "event":
                self.cursor = frame.get("cursor") or self.cursor
                return [Deliver(frame)]
            case "cursor":
                self.cursor = frame["cursor"]
                return []
            case "reset":
                self.cursor = frame["cursor"]
                return [Notify("reset", {"reason": frame["reason"]})]
            case "presence":
                return [Notify("presence", {name: value for name, value in frame.items() if name != "type"})]
            case _:
                return self._answer(frame)

    def _answer(self, frame: Frame) -> list[Output]:
        ref, ok = frame.get("ref"), frame["type"] == "ok"
        if ref is None:
            return [Notify("error", {"code": frame["code"], "detail": frame.get("detail")})]
        request = self._requests.pop(ref, None)
        if request is None:
            return []
        if request.kind in ("subscribe", "unsubscribe"):
            if ok:
                if isinstance(frame.get("cursor"), str):
                    self.cursor = frame["cursor"]
                self._want(request.kind == "subscribe", request.topics)
            elif request.own and request.kind == "subscribe":
                self._want(False, request.topics)
        return [Settle(ref, ok, frame)]

    # --- Steps

    def _change(self, kind: Literal["subscribe", "unsubscribe"], topics: tuple[str, ...]) -> list[Output]:
        if self.state is State.OPEN:
            return [self._send(_Request(kind, topics), {"topics": list(topics)})]
        self._want(kind == "subscribe", topics)
        self._refs += 1
        return [Settle(self._refs, ok=True)]

    def _want(self, wanted: bool, topics: tuple[str, ...]) -> None:
        if wanted:
            self.topics = tuple(dict.fromkeys(self.topics + topics))
        else:
            self.topics = tuple(topic for topic in self.topics if topic not in topics)

    def _send(self, request: _Request, fields: dict[str, Any]) -> Send:
        self._refs += 1
        self._requests[self._refs] = request
        return Send({"type": request.kind, "ref": self._refs, **fields})

    def _abandon(self) -> list[Output]:
        refs, self._requests = list(self._requests), {}
        self._renewing = False
        return [Settle(ref, ok=False, code="connection_lost") for ref in refs]

    def _authorize(self, fresh: bool) -> list[Output]:
        self.state = State.AUTHORIZING
        self._needs_fresh = fresh
        return [NeedToken(fresh)]

    def _wait(self, least: float = 0) -> Wait:
        self.state = State.WAITING
        # 2**16 is far beyond the cap; the bound keeps the number small after days of trying.
        most = least + min(CAP, BASE * 2 ** min(self._attempt, 16))
        self._attempt += 1
        return Wait(least, most)

    def _halt(self, code: str) -> Stop:
        self.state = State.STOPPED
        return Stop(code)
