"""Which measurements there are, at full length and in short. Data, no I/O.

A measurement is one job for the load generator at one peer; the rounds of a workload go through its peers in turn, so
that what disturbs the machine for a while disturbs all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

EVERYBODY = ("bare", "hub", "nchan", "nats", "node_ws", "socketio", "naive", "python_socketio")
UNICASTERS = ("bare", "hub", "nchan", "node_ws", "socketio", "naive", "python_socketio")
HUB = ("hub",)


@dataclass(frozen=True, slots=True)
class Workload:
    """Several peers at one job. ``fresh``: each measurement gets a server of its own. ``key``: the result's name.

    ``half_of``: run at half the rate that another workload's median reached, at the same peer.
    """

    key: str
    title: str
    job: dict[str, Any]
    peers: Sequence[str] = HUB
    fresh: bool = False
    rounds: int | None = None
    half_of: str | None = None
    timeout: float = 90.0


def plan(*, short: bool, descriptors: int) -> list[Workload]:
    """All workloads in order. ``descriptors``: how many files one process may have open; bounds the crowds."""
    most = min(10_000, descriptors - 500)
    seconds = 0.8 if short else 2.5
    crowd = 300 if short else 1000
    calm = {"rate": 50, "seconds": 1.5 if short else 5.0, "subscribers": crowd}
    steady = {"subscribers": crowd, "seconds": seconds, "rate": 0}
    workloads = [
        Workload(
            "ceiling",
            "the load generator's own ceiling",
            {"workload": "flood", "subscribers": crowd, "seconds": seconds},
            ("bare",),
            fresh=True,
        ),
        Workload(
            "flat_out",
            f"broadcast to {crowd:,} subscribers, flat out",
            {"workload": "flat_out", "subscribers": crowd, "seconds": seconds},
            EVERYBODY,
        ),
        Workload(
            "flat_out_durable",
            "the same, each event on disk first",
            {"workload": "flat_out", "subscribers": crowd, "seconds": seconds, "durable": True},
        ),
        Workload("trickle", f"50 events/s to {crowd:,}, one at a time", {"workload": "trickle"} | calm, EVERYBODY),
        Workload(
            "unicast",
            f"one event to one of {crowd:,} users, a POST each",
            {"workload": "unicast"} | steady,
            UNICASTERS,
        ),
        Workload("unicast_batch", "the same, 100 events a POST", {"workload": "unicast", "batch": 100} | steady),
        Workload("durable", "the same, a POST each, on disk first", {"workload": "unicast", "durable": True} | steady),
        Workload(
            "durable_batch",
            "the same, 100 events a POST, on disk first",
            {"workload": "unicast", "durable": True, "batch": 100} | steady,
        ),
        Workload(
            "durable_half",
            "a POST each, on disk first, at half that rate",
            {"workload": "unicast", "durable": True} | steady,
            half_of="durable",
        ),
        Workload(
            "memory",
            "memory of idle connections",
            {"workload": "memory", "steps": (250, 500) if short else (500, 1000, 2000, 4000, min(8000, most))},
            EVERYBODY,
            fresh=True,
            rounds=1 if short else 3,
        ),
        Workload("accept", "connections accepted", {"workload": "accept", "subscribers": crowd}, EVERYBODY),
        Workload(
            "accept_ed25519",
            "the same, tokens signed as by default (Ed25519)",
            {"workload": "accept", "subscribers": crowd},
            ("hub_ed25519",),
        ),
    ]
    for shared in (True, False):
        workloads.append(
            Workload(
                "resume_shared" if shared else "resume_own",
                f"{crowd:,} come back, 50 events behind, " + ("all the same events" if shared else "each their own"),
                {"workload": "resume", "subscribers": crowd, "shared": shared, "rate": 100, "seconds": seconds},
                fresh=True,
                rounds=None if short else 3,
            )
        )
    workloads.append(
        Workload(
            "fairness",
            f"a hundred others while {crowd if short else most:,} get an event a second",
            {"workload": "fairness", "subscribers": crowd if short else most, "rate": 100, "topics": 2 if short else 5},
            fresh=True,
            rounds=None if short else 3,
        )
    )
    workloads += _growth(short=short, most=most)
    if not short:
        return workloads
    return [replace(workload, job={"warmup": 0.3} | workload.job) for workload in workloads]


def _growth(*, short: bool, most: int) -> list[Workload]:
    seconds = 0.7 if short else 2.0
    rounds = 1 if short else 3
    growing: list[Workload] = []
    # Not so often to the most that events would be coalesced: then each would look cheap.
    for count in (10, 100, 1000) if short else (10, 100, 1000, most):
        growing.append(
            Workload(
                f"growth_subscribers/{count}",
                f"an event to {count:,} subscribers",
                {
                    "workload": "trickle",
                    "subscribers": count,
                    "rate": 20 if count <= 1000 else 3,
                    "seconds": 2 * seconds,
                },
                rounds=rounds,
            )
        )
    for count in (1, 100, 1000) if short else (1, 10, 100, 1000, 10_000):
        growing.append(
            Workload(
                f"growth_topics/{count}",
                f"a publish among {count:,} topics",
                {"workload": "topics_grow", "topics": count, "in_flight": 8, "seconds": seconds},
                rounds=rounds,
            )
        )
    for count in (1, 8, 64) if short else (1, 2, 4, 8, 16, 32, 64):
        growing.append(
            Workload(
                f"growth_publishers/{count}",
                f"{count} publishers, durable",
                {"workload": "posts", "in_flight": count, "durable": True, "seconds": seconds},
                rounds=rounds,
            )
        )
    return growing


def log_sizes(*, short: bool) -> list[int]:
    """Entries of the log at which a durable publish is measured; grown from one to the next."""
    return [100, 1000, 10_000] if short else [100, 1000, 10_000, 100_000, 1_000_000]


def log_job(*, short: bool) -> dict[str, Any]:
    """A durable publish, eight at a time."""
    return {"workload": "posts", "in_flight": 8, "durable": True, "seconds": 0.7 if short else 2.0}
