"""What Prometheus scrapes: the hub's own counters, read when they are asked for. docs/metrics.md has them all.

Counting costs the hot path an addition, or a histogram's third of a microsecond once for a request or a commit; what
has to be looked for (states of connections) is looked for at the scrape. Nothing here has a label that grows with
users, topics or addresses.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from hub.engine.base import Engine
from hub.engine.sqlite import SqliteEngine
from hub.histogram import Histogram
from hub.hub import Hub
from hub.inbox.service import Inbox
from hub.outbox import State
from hub.transports.asgi_link import AsgiStream
from hub.transports.lobby import Lobby
from hub.transports.sse_connection import EventStream

TRANSPORTS: tuple[Literal["websocket", "sse"], ...] = ("websocket", "sse")
STATES: tuple[Literal["live", "catching_up", "blocked"], ...] = ("live", "catching_up", "blocked")
_REFUSALS = (
    "token_missing", "token_malformed", "token_expired", "token_signature", "token_revoked", "key_unknown",
    "ticket_invalid", "forbidden", "origin_forbidden", "too_many_connections", "overloaded", "restarting",
)  # fmt: skip
_ENDINGS = ("token_expired", "token_revoked", "logged_out", "user_disabled", "restarting")
_RESETS = ("truncated", "replaced")
"""There from the start, so that the first one is a growth from 0."""


class HubCollector(Collector):
    """Reads one hub and its inbox."""

    def __init__(self, hub: Hub, inbox: Inbox, lobby: Lobby) -> None:
        self._hub = hub
        self._inbox = inbox
        self._lobby = lobby

    def collect(self) -> Iterable[Metric]:
        """See ``Collector``."""
        yield from self._gauges()
        yield from self._counters()
        yield from self._histograms()

    def _gauges(self) -> Iterator[Metric]:
        hub, lobby = self._hub, self._lobby
        found, queued = states(hub)
        for name, value, text in (
            ("hub_connections", len(hub.registry), "Open connections."),
            ("hub_topics", hub.registry.topic_count, "Topics with a subscriber."),
            ("hub_subscriptions", hub.registry.subscription_count, "Pairs of connection and topic."),
            ("hub_presence_seats", len(hub.presence), "Pairs of topic and person on this node."),
            ("hub_outbox_bytes", queued, "Bytes that wait in the hub."),
            ("hub_catching_up", hub.catching_up, "Connections that read from the log."),
            ("hub_handshakes_waiting", len(lobby), "Handshakes that wait for their turn."),
            ("hub_log_head", hub.engine.head, "Newest entry of the log."),
            ("hub_log_floor", hub.engine.floor, "Newest entry that is no longer retained."),
            ("hub_log_bytes", hub.engine.size, "Bytes of the events retained."),
            ("hub_tail_lag", tail_lag(hub), "Entries in the log and not yet fanned out."),
            ("hub_inbox_lag", self._inbox.lag, "Entries in the log and not yet in the inbox."),
            ("hub_nodes", hub.engine.nodes, "Hubs that work on the log, this one included, as far as it knows."),
            ("hub_draining", int(hub.draining), "1 while the hub stops and sends its clients away."),
            ("hub_tasks", len(asyncio.all_tasks()), "asyncio tasks of the process."),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        by_state = GaugeMetricFamily(
            "hub_connection_states",
            "Connections by transport and by state: live, behind, or not taking what is sent.",
            labels=("transport", "state"),
        )
        for transport in TRANSPORTS:
            for state in STATES:
                by_state.add_metric((transport, state), found[transport, state])
        yield by_state
        info = GaugeMetricFamily("hub_build_info", "1, with what runs.", labels=("version", "engine"))
        info.add_metric((version("notification-hub"), engine_name(hub.engine)), 1)
        yield info

    def _counters(self) -> Iterator[Metric]:
        hub, counters, lobby = self._hub, self._hub.counters, self._lobby
        for name, value, text in (
            ("hub_events_published", counters.published, "Events accepted."),
            ("hub_events_duplicate", counters.duplicates, "Publishes that repeated an earlier one."),
            ("hub_publishes_failed", counters.failed, "Publishes that the log could not take."),
            ("hub_publishes_limited", counters.limited, "Publishes refused, since they were over their rate."),
            ("hub_events_offered", hub.offered, "Events handed to connections, times connections."),
            ("hub_connections_opened", counters.opened, "Connections let in."),
            ("hub_connections_refused", counters.refused, "Connections refused at the door."),
            ("hub_connections_evicted", counters.evicted, "Connections cut off because they took nothing."),
            ("hub_connections_dead", counters.dead, "Connections cut off because their peer was silent."),
            ("hub_catch_ups", counters.catch_ups, "Times that a connection began to read from the log."),
            (
                "hub_tail_refilled",
                hub.engine.refilled,
                "Entries lost on their way here, and read from the log instead.",
            ),
            ("hub_resets", counters.resets, "Readers told that events between are gone."),
        ):
            yield CounterMetricFamily(name, text, value=value)
        yield _labelled("hub_refusals", "Connections refused, by code.", "code", counters.refusals, _REFUSALS)
        yield _labelled("hub_endings", "Connections that the hub ended, by code.", "code", counters.closed, _ENDINGS)
        yield _labelled("hub_reset_reasons", "Resets by reason.", "reason", counters.reset_reasons, _RESETS)
        turned_away = {"address_rate": lobby.limited, "overloaded": lobby.turned_away}
        yield _labelled("hub_handshakes_refused", "Handshakes answered 429 or 503.", "reason", turned_away)

    def _histograms(self) -> Iterator[Metric]:
        hub = self._hub
        yield _histogram(
            "hub_publish_seconds",
            "From when a request's events were handed to the log until they were on disk.",
            hub.counters.publish_seconds,
        )
        yield _histogram(
            "hub_delivery_seconds",
            "From when an event was accepted, on any node, until it was fanned out on this one; at most 50 a second.",
            hub.delays.histogram,
        )
        yield _histogram(
            "hub_loop_lag_seconds", "How late the event loop was, four times a second.", hub.counters.loop_lag_seconds
        )
        if isinstance(hub.engine, SqliteEngine):
            yield _histogram(
                "hub_log_commit_seconds", "How long a commit of the log waited for the disk.", hub.engine.commit_seconds
            )


def states(hub: Hub) -> tuple[Counter[tuple[str, str]], int]:
    """How many connections there are of each transport and state; and the bytes that wait for all."""
    found: Counter[tuple[str, str]] = Counter()
    queued = 0
    for session in hub.registry:
        outbox = session.outbox
        queued += outbox.queued_bytes
        transport = "sse" if isinstance(session.link, AsgiStream | EventStream) else "websocket"
        behind = "catching_up" if outbox.state is State.CATCHING_UP else "live"
        found[transport, behind if session.link.writable else "blocked"] += 1
    return found, queued


def tail_lag(hub: Hub) -> int:
    """Entries that the log has and this node has not fanned out."""
    return max(0, hub.engine.head - hub.tail)


def _labelled(name: str, text: str, label: str, counts: Mapping[str, int], known: Iterable[str] = ()) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value in dict.fromkeys((*known, *sorted(counts))):
        family.add_metric((value,), counts.get(value, 0))
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(name, text, buckets=histogram.buckets(), sum_value=histogram.sum)


def engine_name(engine: Engine) -> Literal["embedded", "nats"]:
    """As the setting has it."""
    return "embedded" if isinstance(engine, SqliteEngine) else "nats"
