"""The workloads that only the hub takes: it alone has a log to resume from, and its growth is what we want to know."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from benchmarks.crowd import Crowd
from benchmarks.frames import payload, stamp
from benchmarks.histogram import Histogram, summary
from benchmarks.job import Interval, Job
from benchmarks.loads import DRAIN, OPENING, Load
from benchmarks.peers.hub import Hub
from benchmarks.publishers import PublishingFailed, Requests

ACCEPTS, RESUMES = 4500, 500_000
"""Handshakes and resumed events a second: together the time that a resume is allowed."""


class HubLoad(Load):
    """A job at the hub."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        assert isinstance(self.peer, Hub)
        self.hub = self.peer
        self.hub.durable = job.durable

    # --- Resuming

    def resume(self) -> dict[str, Any]:
        """``subscribers`` come back, each ``behind`` events behind, while others are served live.

        ``shared``: all missed the same events; otherwise each their own. Also measured, for comparison: the live
        latency while nothing else happens, and while as many come in who missed nothing.
        """
        job, hub = self.job, self.hub
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
        hub.durable = False
        live, send = self._others(requests)
        results: dict[str, Any] = {}
        live.ages = Histogram()
        self.paced(send, job.seconds)
        results["live_before"] = summary(live.ages)
        for kind, after in (("handshakes", ""), ("resume", before)):
            live.ages = Histogram()
            due = self._ticker(send)
            came = Crowd(self.reactor, job.port)
            topics = "missed" if job.shared else ""
            began = Interval(job.pids)
            wanted = job.subscribers * job.behind if after else 0
            came.open(job.subscribers, lambda n: hub.door(n, topics, after), seconds=OPENING)  # noqa: B023
            complete = self.reactor.until(lambda: came.received >= wanted, DRAIN)  # noqa: B023
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

    # --- Fairness

    def fairness(self) -> dict[str, Any]:
        """How long others wait while a large crowd is sent something: the latency of a hundred subscribers of another
        topic, alone and while ``subscribers`` get ``topics`` events, one a second."""
        job, hub = self.job, self.hub
        requests = Requests(self.reactor, job.port, 8)
        live, send = self._others(requests)
        self.crowd.open(job.subscribers, lambda number: hub.door(number, "crowd"), seconds=OPENING)
        live.ages = Histogram()
        self.paced(send, float(job.topics))
        results: dict[str, Any] = {"live_before": summary(live.ages)}
        live.ages = Histogram()
        text = hub.publish([({"topics": ["crowd"]}, payload(0))])
        end = self._ticker(send)
        began = Interval(job.pids)
        for _ in range(job.topics):
            if not requests.idle:
                self.reactor.until(lambda: bool(requests.idle), DRAIN)
            requests.send(text)
            self.reactor.run(1.0)
        results |= began.result()
        end()
        wanted = job.subscribers * job.topics
        complete = self.reactor.until(lambda: self.crowd.received >= wanted, DRAIN)
        return results | {
            "live_broadcast": summary(live.ages),
            "lost": 0 if complete else wanted - self.crowd.received,
        }

    def _others(self, requests: Requests) -> tuple[Crowd, Callable[[int], None]]:
        """A hundred subscribers of a topic of their own, and how they are sent an event."""
        live = Crowd(self.reactor, self.job.port)
        live.open(100, lambda number: self.hub.door(1_000_000 + number, "live"), seconds=OPENING)
        text = self.hub.publish([({"topics": ["live"]}, payload(0))])
        stamped = text.index(payload(0))

        def send(due: int) -> None:
            if not requests.idle:
                self.reactor.until(lambda: bool(requests.idle), DRAIN)
            requests.send(text[:stamped] + payload(due) + text[stamped + len(payload(0)) :])

        return live, send

    def _publish(self, requests: Requests, request: bytes) -> Any:
        answered = requests.answered
        requests.send(request)
        if not self.reactor.until(lambda: requests.answered > answered, DRAIN) or requests.refused:
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
        job, hub = self.job, self.hub
        each = min(job.topics, 100)
        names = [f"t:{number}" for number in range(job.topics)]
        doors = [",".join(names[start : start + each]) for start in range(0, job.topics, each)]
        self.crowd.open(len(doors), lambda number: hub.door(number, doors[number]), seconds=OPENING)
        texts = [hub.publish([({"topics": [name]}, payload(0))]) for name in names]
        return self._posts(texts)

    def posts(self) -> dict[str, Any]:
        """Events to a topic with one subscriber, ``in_flight`` publishers."""
        hub = self.hub
        self.crowd.open(1, lambda number: hub.door(number, "t:0"), seconds=OPENING)
        return self._posts([hub.publish([({"topics": ["t:0"]}, payload(0))])])

    def fill(self) -> dict[str, Any]:
        """Grow the log by ``topics`` entries, spread over a hundred topics."""
        job, hub = self.job, self.hub
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

        self.pump_for(pump, job.warmup)
        requests.times = times = Histogram()
        before, began = requests.answered, Interval(job.pids)
        self.pump_for(pump, job.seconds)
        used = began.result()
        answered = requests.answered - before
        if requests.refused:
            raise PublishingFailed(f"refused: {requests.refusal[:300]!r}")
        return used | {
            "events_per_second": answered / used["seconds"],
            "cpu_per_event_us": used["server_cpu"] / max(1, answered) * 1e6,
            "latency": summary(times),
        }
