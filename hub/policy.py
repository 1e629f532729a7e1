"""May this principal do that? One pure function, deny by default. Nobody reaches beyond their tenant, by no right.

Patterns are topic names in which a whole segment may be ``*``: it stands for exactly one segment, or, as the last
one, for one or more. The reserved topics (``all``, ``user:…``) are matched only by a pattern that names them
(``all``, ``user:*``): a bare ``*`` opens every ordinary topic and nobody's private one. Both are local names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

from hub import tenancy
from hub.errors import HubError
from hub.model import ALL, Principal, Topic, all_of, is_subject, topic


class Action(StrEnum):
    """What can be done with a topic."""

    SUBSCRIBE = "subscribe"
    """Receive what comes, from now on or from a cursor on."""
    HISTORY = "read the history of"
    """Read what is retained over HTTP."""
    PRESENCE = "see who is in"
    """See who is there, where that is told at all."""
    PUBLISH = "publish"
    """Send an event to it."""


def may(principal: Principal, action: Action, name: Topic) -> bool:
    """Whether ``principal`` may do ``action`` on the topic ``name`` (in full); docs/grants.md is its truth table.

    Nobody does anything with a topic of another tenant. Of their own tenant's, a user always reads ``all`` and their
    own ``user:<id>``, and the topics their token subscribes by itself; an administrator does anything; otherwise a
    granted pattern must match. To receive a topic, to read its history and to see who is in it are one right: a cursor
    brings the past, and presence comes with the stream.
    """
    tenant, local = tenancy.split(name)
    if tenant != principal.tenant:
        return False
    if principal.admin:
        return True
    if action is Action.PUBLISH:
        return _any_matches(principal.grants.publish, local)
    return name in automatic_topics(principal) or _any_matches(principal.grants.subscribe, local)


def require(principal: Principal, action: Action, names: Iterable[Topic]) -> None:
    """Raise ``forbidden``, naming the first topic that is not allowed."""
    for name in names:
        if not may(principal, action, name):
            local = tenancy.local(name)
            raise HubError("forbidden", f"{principal.shown_source} may not {action} {local!r}.", topic=local)


def automatic_topics(principal: Principal) -> tuple[Topic, ...]:
    """What a connection is subscribed to without asking. A service has no inbox, so only its token's topics."""
    if principal.kind == "service":
        return principal.topics
    tenant, name = tenancy.split(principal.subject)
    own = (Topic(tenancy.join(tenant, f"user:{name}")), all_of(tenant))
    return own + tuple(name for name in principal.topics if name not in own)


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern covers the topic of this local name."""
    if is_reserved(name) and not is_reserved(pattern):
        return False
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(maxsize=16384)  # A publisher names the same topics again and again.
def _any_matches(patterns: tuple[str, ...], name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)


def check_pattern(pattern: str) -> str:
    """Return the pattern if it is one; raises ``topic_invalid``."""
    for segment in pattern.split(":"):
        if "*" in segment and segment != "*":
            raise HubError("topic_invalid", f"{pattern[:60]!r}: in a pattern, '*' must be a whole segment.")
    topic(pattern.replace("*", "x"))
    return pattern


def expand(pattern: str, subject: str) -> str:
    """Put a local id in the place of ``{sub}``: ``user:{sub}:*`` for alice is ``user:alice:*``."""
    if not is_subject(subject):
        raise HubError("topic_invalid", f"{subject[:60]!r} is not a user id.")
    return pattern.replace("{sub}", subject)


def is_reserved(name: str) -> bool:
    """Whether the topic (its local name), or the pattern, is one of those that a bare ``*`` does not open."""
    return name == ALL or name == "user" or name.startswith("user:")


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    segments = pattern.split(":")
    parts = [r"[^:]+" if segment == "*" else re.escape(segment) for segment in segments]
    if segments[-1] == "*":
        parts[-1] = r".+"
    return re.compile(":".join(parts))
