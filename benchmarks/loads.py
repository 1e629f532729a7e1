"""The workloads that every peer takes, seen from the load generator: a method each, named as in the job."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks import process
from benchmarks.crowd import Crowd
from benchmarks.frames import payload, stamp
from benchmarks.histogram import Histogram, summary
from benchmarks.job import Interval, Job
from benchmarks.peers import PEERS
from benchmarks.peers.bare import Bare
from benchmarks.publishers import PublishingFailed, Requests, Stream
from benchmarks.reactor import Reactor

OPENING = 120.0
"""Seconds for all subscribers to come in."""
DRAIN = 10.0
"""Seconds for what is under way to arrive."""
_STREAM_BACKLOG = 64 * 1024


class Load:
    """One job's state: the peer, spoken to, and the subscribers."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.peer = PEERS[job.peer](job.port)
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
        self.pump_for(pump, self.job.warmup)
        before, began = self.crowd.received, Interval(self.job.pids)
        self.pump_for(pump, self.job.seconds)
        used = began.result()
        received = self.crowd.received - before
        size = len(self.crowd)
        complete = self.reactor.until(lambda: self.crowd.received >= published() * size, DRAIN)
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
        before, began = self.crowd.received, Interval(self.job.pids)
        self.reactor.run(self.job.seconds)
        used = began.result()
        return used | {"deliveries_per_second": (self.crowd.received - before) / used["seconds"]}

    def trickle(self) -> dict[str, Any]:
        """One event at a time, ``rate`` a second, to everybody: nothing can be coalesced."""
        self._open()
        send = self._single_publisher()
        self.paced(send, self.job.warmup)
        self.crowd.ages = ages = Histogram()
        before, began = self.crowd.received, Interval(self.job.pids)
        sent = self.paced(send, self.job.seconds)
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
                    self.reactor.until(lambda: bool(requests.idle), DRAIN)
                requests.send(peer.broadcast([payload(due)]))
                if requests.refused:
                    raise PublishingFailed(f"refused: {requests.refusal[:300]!r}")
        else:
            stream = Stream(self.reactor, peer.publish_port, peer.opening())

            def send(due: int) -> None:
                stream.write(peer.broadcast([payload(due)]))

        return send

    def paced(self, send: Callable[[int], None], seconds: float) -> int:
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
                self.reactor.until(lambda: bool(requests.idle), DRAIN)
            send(due)

        def go(seconds: float) -> None:
            if job.rate:
                self.paced(paced, seconds)
            else:
                self.pump_for(pump, seconds)

        go(job.warmup)
        requests.times = times = Histogram()
        before, began = requests.answered, Interval(job.pids)
        go(job.seconds)
        used = began.result()
        answered = requests.answered - before
        complete = self.reactor.until(lambda: self.crowd.received >= sent * job.batch, DRAIN)
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
        began = Interval(self.job.pids)
        seconds = self.crowd.open(self.job.subscribers, self.peer.door, seconds=OPENING)
        return began.result() | {"connections_per_second": self.job.subscribers / seconds}

    def memory(self) -> dict[str, Any]:
        """Resident memory at each number of idle subscribers of ``steps``, and by connection in the last step."""
        points = [(0, self._settled_memory())]
        for step in self.job.steps:
            self.crowd.open(step - len(self.crowd), self.peer.door, seconds=OPENING)
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

    # --- Inside

    def _open(self, *, personal: bool = False) -> None:
        door = self.peer.personal_door if personal else self.peer.door
        self.crowd.open(self.job.subscribers, door, seconds=OPENING)
        # A peer without a word of welcome may still be at the last subscriptions.
        self.reactor.run(0.3)

    def pump_for(self, pump: Callable[[], None], seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pump()
            self.reactor.turn(0.01)
