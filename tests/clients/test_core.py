"""The state machine against histories that nobody thought of. What single inputs do is in the vectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hub_client import _core
from hub_client._core import Core, State
from hypothesis import given, settings
from hypothesis import strategies as st

CURSOR = "e:{}".format


@dataclass
class SimulatedHub:
    """A log, and one client whose connections die anywhere: frames that were sent may or may not have arrived."""

    log: list[str] = field(default_factory=list)
    """The topics of the events; seq is the index + 1."""
    position: int = 0
    subscribed: frozenset[str] = frozenset()

    def connect(self, opened: _core.Open) -> list[dict[str, Any]]:
        self.position = len(self.log) if opened.after is None else int(opened.after[2:])
        self.subscribed = frozenset({"all", *opened.topics})
        welcome = {"type": "welcome", "cursor": CURSOR(self.position), "topics": sorted(self.subscribed)}
        return [welcome, *self.catch_up()]

    def catch_up(self) -> list[dict[str, Any]]:
        frames: list[dict[str, Any]] = []
        for seq in range(self.position + 1, len(self.log) + 1):
            if self.log[seq - 1] in self.subscribed:
                event = {"id": str(seq), "type": "t"}
                frames.append({"type": "event", "cursor": CURSOR(seq), "topic": self.log[seq - 1], "event": event})
        self.position = len(self.log)
        return frames

    def answer(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        frames = self.catch_up()
        if request["type"] == "subscribe":
            self.subscribed |= set(request["topics"])
        elif request["type"] == "unsubscribe":
            self.subscribed -= set(request["topics"])
        ok = {"type": "ok", "ref": request["ref"], "topics": sorted(self.subscribed), "cursor": CURSOR(self.position)}
        return [*frames, ok]


topic = st.sampled_from(["all", "a", "b", "c"])
step = st.one_of(
    st.tuples(st.just("publish"), topic),
    st.tuples(st.just("pass on"), st.integers(0, 5)),
    st.tuples(st.just("lose"), st.sampled_from([1000, 1006, 1012, 1013, 4000])),
    st.tuples(st.just("come back"), st.none()),
    st.tuples(st.just("subscribe"), topic),
    st.tuples(st.just("quiet"), st.none()),
    st.tuples(st.just("ephemeral"), st.none()),
    st.tuples(st.just("garbage"), st.sampled_from([None, {"type": "event", "cursor": "e:999"}, {"type": "x"}])),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(step, max_size=60))
def test_no_history_skips_repeats_or_goes_back(history: list[tuple[str, Any]]) -> None:
    """For the topics wanted from the beginning: every event from the first welcome on, in order, each once."""
    hub, core = SimulatedHub(), Core("tab-00000001", ["a"])
    on_the_way: list[dict[str, Any]] = []
    delivered: list[int] = []
    began: int | None = None
    cursors: list[int] = []

    def do(outputs: list[_core.Output]) -> None:
        nonlocal began, on_the_way
        for output in outputs:
            match output:
                case _core.NeedToken():
                    do(core.token("jwt"))
                case _core.Open():
                    on_the_way = hub.connect(output)
                case _core.Send(frame):
                    on_the_way += hub.answer(frame)
                case _core.Deliver(frame) if "cursor" in frame:
                    delivered.append(int(frame["cursor"][2:]))
                case _core.Notify("open") if began is None:
                    assert core.cursor is not None
                    began = int(core.cursor[2:])
        if core.cursor is not None:
            cursors.append(int(core.cursor[2:]))

    def pass_on(count: int) -> None:
        for _ in range(min(count, len(on_the_way))):
            do(core.frame(on_the_way.pop(0)))

    connected = (State.CONNECTING, State.OPEN)
    do(core.start())
    for what, argument in [*history, ("lose", 1006), ("come back", None), ("pass on", 1000)]:
        match what:
            case "publish":
                hub.log.append(argument)
                if core.state in connected:
                    on_the_way += hub.catch_up()
            case "pass on":
                pass_on(argument)
            case "lose":
                if core.state in connected:
                    on_the_way.clear()
                    do(core.closed(argument, ""))
            case "come back":
                do(core.timer())
            case "subscribe":
                do(core.subscribe([argument]))
            case "quiet" if core.state in connected:
                on_the_way += hub.catch_up()
                on_the_way.append({"type": "cursor", "cursor": CURSOR(hub.position)})
            case "ephemeral" if core.state in connected:
                on_the_way.append({"type": "event", "topic": "all", "event": {"id": "x", "type": "t"}})
            case "garbage":
                do(core.frame(argument))
    assert cursors == sorted(cursors)
    assert delivered == sorted(set(delivered))
    if began is not None:
        from_the_beginning = [seq for seq, topic in enumerate(hub.log, 1) if topic in ("all", "a") and seq > began]
        assert [seq for seq in delivered if hub.log[seq - 1] in ("all", "a")] == from_the_beginning


frame = st.one_of(
    st.none(),
    st.integers(),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["welcome", "event", "cursor", "reset", "presence", "ok", "error", "?"])},
        optional={
            "cursor": st.sampled_from(["e:1", "e:2", 3]),
            "ref": st.one_of(st.integers(1, 6), st.none(), st.booleans(), st.text(max_size=2)),
            "topic": st.just("a"),
            "event": st.sampled_from([{"id": "1", "type": "t"}, {}, None]),
            "reason": st.just("truncated"),
            "action": st.sampled_from(["join", "leave", "state", "?"]),
            "user": st.just("u"),
            "users": st.sampled_from([["u"], "u"]),
            "code": st.just("forbidden"),
        },
    ),
)
any_input = st.one_of(
    st.sampled_from([("start",), ("stop",), ("timer",), ("expiring",), ("token", "jwt")]),
    st.tuples(st.just("token_failed"), st.booleans()),
    st.tuples(st.just("frame"), frame),
    st.tuples(st.sampled_from(["subscribe", "unsubscribe"]), st.lists(topic, max_size=2)),
    st.tuples(st.just("publish"), st.just({"type": "t"})),
    st.tuples(
        st.just("closed"),
        st.sampled_from([1000, 1006, 1008, 1009, 1012, 1013, 4000, 4500]),
        st.sampled_from(["", "token_expired", "logged_out: bye"]),
    ),
)


@settings(deadline=None, max_examples=500)
@given(st.lists(any_input, max_size=50))
def test_no_input_breaks_it(inputs: list[tuple[Any, ...]]) -> None:
    """Whatever comes, in whatever state: the promises of each output hold."""
    core = Core("tab-00000001")
    open_refs: set[int] = set()
    next_ref = 1
    for name, *arguments in inputs:
        before = core.state
        outputs = getattr(core, name)(*arguments)
        todo = [one for one in outputs if isinstance(one, _core.NeedToken | _core.Open | _core.Wait | _core.Stop)]
        assert len(todo) <= 1
        for output in outputs:
            match output:
                case _core.Send(sent):
                    assert core.state is State.OPEN
                    assert sent["ref"] == next_ref
                    open_refs.add(next_ref)
                    next_ref += 1
                case _core.Settle(ref):
                    if ref == next_ref:
                        next_ref += 1
                    else:
                        open_refs.remove(ref)
                case _core.Wait(least, most):
                    assert core.state is State.WAITING
                    assert 0 <= least <= most <= 35
                case _core.NeedToken():
                    assert core.state is State.AUTHORIZING or (core.state is State.OPEN and name == "expiring")
                case _core.Open():
                    assert core.state is State.CONNECTING
                case _core.Stop():
                    assert core.state is State.STOPPED
                case _core.Deliver() | _core.Notify():
                    assert core.state in (State.CONNECTING, State.OPEN)
        if core.state is not before and core.state is not State.OPEN:
            # Whoever runs the core is told what to do next, or it was the one who stopped it.
            assert todo or name == "stop"
        if core.state not in (State.CONNECTING, State.OPEN):
            assert not open_refs
        assert len(set(core.topics)) == len(core.topics)


def test_a_token_is_in_no_repr() -> None:
    core = Core("tab-00000001")
    core.start()
    outputs = core.token("secret-1")
    outputs += core.frame({"type": "welcome", "cursor": "e:1"})
    outputs += core.expiring()
    outputs += core.token("secret-2")
    assert any(isinstance(output, _core.Send) for output in outputs)
    assert "secret" not in repr(outputs)
