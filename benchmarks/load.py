"""The load generator: one job in a process of its own, on its own core. ``python -m benchmarks.load`` is started by the
runner, reads the job as JSON from its standard input and writes what it measured as JSON to its standard output.

Its own share of CPU is part of every result, so that a reader sees where it, and not the server, was the limit.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import process
from benchmarks.crowd import ConnectionFailed, Crowd
from benchmarks.frames import payload, stamp
from benchmarks.histogram import Histogram, summary
from benchmarks.peers import PEERS
from benchmarks.peers.bare import Bare
from benchmarks.peers.hub import Hub
from benchmarks.publishers import PublishingFailed, Requests, Stream
from benchmarks.reactor import Reactor

_OPENING = 120.0
_DRAIN = 10.0
_STREAM_BACKLOG = 64 * 1024
ACCEPTS, RESUMES = 4500, 500_000
"""Handshakes and resumed events a second: together the time that a resume is allowed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What to do, to whom. ``pids`` are the server's processes, whose CPU time is counted."""

    workload: str
    peer: str
    port: int
    pids: tuple[int, ...]
    subscribers: int = 1000
    seconds: float = 3.0
    warmup: float = 0.7
    rate: float = 50.0
    """Events a second, where their rate is given; 0: as fast as they are taken."""
    window: int = 256
    """Events under way at most when publishing flat out."""
    in_flight: int = 64
    """HTTP requests under way at most."""
    batch: int = 1
    durable: bool = False
    steps: tuple[int, ...] = ()
    topics: int = 0
    behind: int = 50
    shared: bool = True


class _Interval:
    """What was used of the CPUs since its beginning."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        self._pids = pids
        self._server = process.cpu_seconds(pids)
        self._load = time.process_time()
        self._began = time.monotonic()

    def result(self) -> dict[str, float]:
        seconds = time.monotonic() - self._began
        return {
            "seconds": seconds,
            "server_cpu": process.cpu_seconds(self._pids) - self._server,
            "load_busy": (time.process_time() - self._load) / seconds,
        }


class Load:
    """One job's state: the peer, spoken to, and the subscribers."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.peer = PEERS[job.peer](job.port)
        if isinstance(self.peer, Hub):
            self.peer.durable = job.durable
        self.reactor = Reactor()
        self.crowd = Crowd(self.reactor, job.port)

    def run(self) -> dict[str, Any]:
        """Do it."""
        workload: Callable[[], dict[str, Any]] = getattr(self, self.job.workload)
        return workload()

    # --- Everybody gets everything

    def flat_out(self) -> dict[str, Any]:
        """Broadcast as fast as the peer takes it, at most ``window`` events ahead of the subscribers."""
        self._open()
        pump, published = self._flat_out_pump()
        self._pump_for(pump, self.job.warmup)
        before, began = self.crowd.received, _Interval(self.job.pids)
        self._pump_for(pump, self.job.seconds)
        used = began.result()
        received = self.crowd.received - before
        size = len(self.crowd)
        complete = self.reactor.until(lambda: self.crowd.received >= published() * size, _DRAIN)
        return used | {
            "deliveries": received,
            "deliveries_per_second": received / used["seconds"],
            "frame_bytes": self.crowd.bytes / max(1, self.crowd.received),
            "lost": 0 if complete else published() * size - self.crowd.received,
        }

    def _flat_out_pump(self) -> tuple[Callable[[], None], Callable[[], int]]:
        job, peer, crowd, size = self.job, self.peer, self.crowd, len(self.crowd)
        published = 0
        batch = [payload(0)] * peer.batch
        data = peer.broadcast(batch)
        if peer.publishes_by == "http":
            requests = Requests(self.reactor, job.port, 4 if peer.batch > 1 else 32)

            def pump() -> None:
                nonlocal published
                while requests.idle and published * size - crowd.received < job.window * size:
                    requests.send(data)
                    published += len(batch)
                if requests.refused:
                    raise PublishingFailed(f"refused: {requests.refusal[:300]!r}")
        else:
            stream = Stream(self.reactor, peer.publish_port, peer.opening())

            def pump() -> None:
                nonlocal published
                while published * size - crowd.received < job.window * size and stream.backlog < _STREAM_BACKLOG:
                    stream.write(data)
                    published += len(batch)

        return pump, lambda: published

    def flood(self) -> dict[str, Any]:
        """How much the load generator itself can count: a server that sends a quarter megabyte at a time."""
        assert isinstance(self.peer, Bare)
        self._open()
        Stream(self.reactor, self.job.port, [(self.peer.flood(), b"")])
        self.reactor.run(self.job.warmup)
        before, began = self.crowd.received, _Interval(self.job.pids)
        self.reactor.run(self.job.seconds)
        used = began.result()
        return used | {"deliveries_per_second": (self.crowd.received - before) / used["seconds"]}

    def trickle(self) -> dict[str, Any]:
        """One event at a time, ``rate`` a second, to everybody: nothing can be coalesced."""
        self._open()
        send = self._single_publisher()
        self._paced(send, self.job.warmup)
        self.crowd.ages = ages = Histogram()
        before, began = self.crowd.received, _Interval(self.job.pids)
        sent = self._paced(send, self.job.seconds)
        used = began.result()
        delivered = self.crowd.received - before
        return used | {
            "sent": sent,
            "deliveries": delivered,
            "cpu_per_million": used["server_cpu"] / max(1, delivered) * 1e6,
            "cpu_per_event_us": used["server_cpu"] / max(1, sent) * 1e6,
            "latency": summary(ages),
        }

    def _single_publisher(self) -> Callable[[int], None]:
        peer = self.peer
        if peer.publishes_by == "http":
            requests = Requests(self.reactor, self.job.port, 16)

            def send(due: int) -> None:
                if not requests.idle:
                    self.reactor.until(lambda: bool(requests.idle), _DRAIN)
                requests.send(peer.broadcast([payload(due)]))
                if requests.refused:
                    raise PublishingFailed(f"refused: {requests.refusal[:300]!r}")
        else:
            stream = Stream(self.reactor, peer.publish_port, peer.opening())

            def send(due: int) -> None:
                stream.write(peer.broadcast([payload(due)]))

        return send

    def _paced(self, send: Callable[[int], None], seconds: float) -> int:
        """Events at the job's rate, each stamped with the moment it was due, so that lateness counts."""
        gap = round(1e6 / self.job.rate)
        due = stamp() + gap
        end = stamp() + round(seconds * 1e6)
        sent = 0
        while due < end:
            while (left := due - stamp()) > 0:
                self.reactor.turn(left / 1e6)
            send(due)
            sent += 1
            due += gap
        self.reactor.run(max(0.0, (end - stamp()) / 1e6))
        return sent

    # --- One user each

    def unicast(self) -> dict[str, Any]:
        """An event to one of the users by HTTP POST each (or ``batch`` of them); flat out, or ``rate`` a second."""
        job, peer = self.job, self.peer
        self._open(personal=True)
        requests = Requests(self.reactor, job.port, job.in_flight)
        size, position, sent = len(self.crowd), 0, 0
        # Made beforehand, as many as there are users: what a request costs the client is not what is measured.
        texts = []
        for start in range(0, size, job.batch):
            users = [(start + offset) % size for offset in range(job.batch)]
            texts.append(peer.unicast(users, [payload(0)] * job.batch))

        def send(due: int | None = None) -> None:
            nonlocal position, sent
            requests.send(texts[position], due)
            position = (position + 1) % len(texts)
            sent += 1

        def pump() -> None:
            while requests.idle:
                send()

        def paced(due: int) -> None:
            if not requests.idle:
                self.reactor.until(lambda: bool(requests.idle), _DRAIN)
            send(due)

        def go(seconds: float) -> None:
            if job.rate:
                self._paced(paced, seconds)
            else:
                self._pump_for(pump, seconds)

        go(job.warmup)
        requests.times = times = Histogram()
        before, began = requests.answered, _Interval(job.pids)
        go(job.seconds)
        used = began.result()
        answered = requests.answered - before
        complete = self.reactor.until(lambda: self.crowd.received >= sent * job.batch, _DRAIN)
        if requests.refused:
            raise PublishingFailed(f"refused: {requests.refusal[:300]!r}")
        return used | {
            "events_per_second": answered * job.batch / used["seconds"],
            "cpu_per_event_us": used["server_cpu"] / max(1, answered * job.batch) * 1e6,
            "lost": 0 if complete else sent * job.batch - self.crowd.received,
            "latency": summary(times),
        }

    # --- Connections

    def accept(self) -> dict[str, Any]:
        """How fast subscribers come in."""
        began = _Interval(self.job.pids)
        seconds = self.crowd.open(self.job.subscribers, self.peer.door, seconds=_OPENING)
        return began.result() | {"connections_per_second": self.job.subscribers / seconds}

    def memory(self) -> dict[str, Any]:
        """Resident memory at each number of idle subscribers of ``steps``, and by connection in the last step."""
        points = [(0, self._settled_memory())]
        for step in self.job.steps:
            self.crowd.open(step - len(self.crowd), self.peer.door, seconds=_OPENING)
            points.append((step, self._settled_memory()))
        (fewer, less), (more, most) = points[-2:]
        return {"points": points, "bytes_per_connection": (most - less) / (more - fewer), "lost": self.crowd.lost}

    def _settled_memory(self) -> int:
        """What it is once it no longer grows."""
        seen = process.resident_bytes(self.job.pids)
        for _ in range(20):
            self.reactor.run(0.3)
            last, seen = seen, process.resident_bytes(self.job.pids)
            if abs(seen - last) < 64 * 1024:
                break
        return seen

    # --- Resuming

    def resume(self) -> dict[str, Any]:
        """``subscribers`` come back, each ``behind`` events behind, while others are served live.

        ``shared``: all missed the same events; otherwise each their own. Also measured, for comparison: the live
        latency while nothing else happens, and while as many come in who missed nothing.
        """
        job, hub = self.job, self.peer
        assert isinstance(hub, Hub)
        hub.durable = True
        requests = Requests(self.reactor, job.port, 8)
        requests.keep = True
        before = self._publish(requests, hub.broadcast([payload(0)]))["cursor"]
        for start in range(0, job.behind if job.shared else job.subscribers):
            if job.shared:
                targets: list[dict[str, object]] = [{"topics": ["missed"]}]
            else:
                targets = [{"users": [f"u{start}"]}] * job.behind
            self._publish(requests, hub.publish([(target, payload(0)) for target in targets]))
        live = Crowd(self.reactor, job.port)
        hub.durable = False
        live.open(100, lambda number: hub.door(1_000_000 + number, "live"), seconds=_OPENING)
        results: dict[str, Any] = {}
        text = hub.publish([({"topics": ["live"]}, payload(0))])
        stamped = text.index(payload(0))

        def send(due: int) -> None:
            if not requests.idle:
                self.reactor.until(lambda: bool(requests.idle), _DRAIN)
            requests.send(text[:stamped] + payload(due) + text[stamped + len(payload(0)) :])

        live.ages = Histogram()
        self._paced(send, job.seconds)
        results["live_before"] = summary(live.ages)
        for kind, after in (("handshakes", ""), ("resume", before)):
            live.ages = Histogram()
            due = self._ticker(send)
            came = Crowd(self.reactor, job.port)
            topics = "missed" if job.shared else ""
            began = _Interval(job.pids)
            wanted = job.subscribers * job.behind if after else 0
            came.open(job.subscribers, lambda n: hub.door(n, topics, after), seconds=_OPENING)  # noqa: B023
            complete = self.reactor.until(lambda: came.received >= wanted, _DRAIN)  # noqa: B023
            used = began.result()
            due()
            results[kind] = used | {"events": came.received, "complete": complete and came.received == wanted}
            results[f"live_{kind}"] = summary(live.ages)
            came.close()
            self.reactor.run(1.0)
        events, seconds = job.subscribers * job.behind, results["resume"]["seconds"]
        results["events_per_second"] = events / seconds
        # The difference of two noisy times: only where it is not noise alone.
        beyond = seconds - results["handshakes"]["seconds"]
        results["events_per_second_beyond_handshakes"] = events / beyond if beyond > 0.1 * seconds else None
        results["share_of_allowed"] = seconds / (job.subscribers / ACCEPTS + events / RESUMES)
        return results

    def _publish(self, requests: Requests, request: bytes) -> Any:
        answered = requests.answered
        requests.send(request)
        if not self.reactor.until(lambda: requests.answered > answered, _DRAIN) or requests.refused:
            raise PublishingFailed(f"refused: {requests.refusal[:300]!r}")
        return json.loads(requests.last)

    def _ticker(self, send: Callable[[int], None]) -> Callable[[], None]:
        """Send at the job's rate while the reactor runs for something else; the result ends that."""
        turn, gap = self.reactor.turn, round(1e6 / self.job.rate)
        due = stamp() + gap

        def ticking(timeout: float) -> None:
            nonlocal due
            while due <= stamp():
                moment, due = due, due + gap
                send(moment)
            turn(min(timeout, max(0.0, (due - stamp()) / 1e6)))

        self.reactor.turn = ticking  # type: ignore[method-assign]

        def end() -> None:
            self.reactor.turn = turn  # type: ignore[method-assign]

        return end

    # --- Growth

    def topics_grow(self) -> dict[str, Any]:
        """One event at a time to one of ``topics`` topics, each of which has one subscriber."""
        job, hub = self.job, self.peer
        assert isinstance(hub, Hub)
        each = min(job.topics, 100)
        names = [f"t:{number}" for number in range(job.topics)]
        doors = [",".join(names[start : start + each]) for start in range(0, job.topics, each)]
        self.crowd.open(len(doors), lambda number: hub.door(number, doors[number]), seconds=_OPENING)
        texts = [hub.publish([({"topics": [name]}, payload(0))]) for name in names]
        return self._posts(texts)

    def posts(self) -> dict[str, Any]:
        """Events to a topic with one subscriber, ``in_flight`` publishers."""
        hub = self.peer
        assert isinstance(hub, Hub)
        self.crowd.open(1, lambda number: hub.door(number, "t:0"), seconds=_OPENING)
        return self._posts([hub.publish([({"topics": ["t:0"]}, payload(0))])])

    def fill(self) -> dict[str, Any]:
        """Grow the log by ``topics`` entries, spread over a hundred topics."""
        job, hub = self.job, self.peer
        assert isinstance(hub, Hub)
        hub.durable = True
        requests = Requests(self.reactor, job.port, 2)
        batch = min(1000, job.topics)
        text = hub.publish([({"topics": [f"fill:{number % 100}"]}, payload(0)) for number in range(batch)])
        left = job.topics
        while left > 0:
            if not self.reactor.until(lambda: bool(requests.idle), 60) or requests.refused:
                raise PublishingFailed(f"refused: {requests.refusal[:300]!r}")
            requests.send(text)
            left -= batch
        self.reactor.until(lambda: len(requests.idle) == len(requests.all), 60)
        return {}

    def _posts(self, texts: list[bytes]) -> dict[str, Any]:
        job = self.job
        requests = Requests(self.reactor, job.port, job.in_flight)
        position = 0

        def pump() -> None:
            nonlocal position
            while requests.idle:
                requests.send(texts[position])
                position = (position + 1) % len(texts)

        self._pump_for(pump, job.warmup)
        requests.times = times = Histogram()
        before, began = requests.answered, _Interval(job.pids)
        self._pump_for(pump, job.seconds)
        used = began.result()
        answered = requests.answered - before
        if requests.refused:
            raise PublishingFailed(f"refused: {requests.refusal[:300]!r}")
        return used | {
            "events_per_second": answered / used["seconds"],
            "cpu_per_event_us": used["server_cpu"] / max(1, answered) * 1e6,
            "latency": summary(times),
        }

    # --- Inside

    def _open(self, *, personal: bool = False) -> None:
        door = self.peer.personal_door if personal else self.peer.door
        self.crowd.open(self.job.subscribers, door, seconds=_OPENING)
        # A peer without a word of welcome may still be at the last subscriptions.
        self.reactor.run(0.3)

    def _pump_for(self, pump: Callable[[], None], seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pump()
            self.reactor.turn(0.01)


def main() -> None:
    """Do the job on standard input."""
    process.pin(process.LOAD_CORE)
    job = Job(**json.load(sys.stdin))
    # Thousands of connections are made and none is garbage; a collection in a measurement would only be noise.
    gc.disable()
    try:
        result = Load(job).run()
    except (ConnectionFailed, PublishingFailed, OSError) as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
