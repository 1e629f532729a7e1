"""What a key may do of what its service may: never more, whatever either of them is given. Pure.

Two patterns have at most one pattern in common, so a scope cuts grants exactly: what is left matches a topic if and
only if both the service's grants and the key's scope do. Knows policy, tenancy and the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hub import policy, tenancy
from hub.model import Grants, Topic


@dataclass(frozen=True, slots=True)
class Scope:
    """Patterns that bound what a key may do; None: whatever its service may. ``admin``: administer, if it may."""

    subscribe: tuple[str, ...] | None = None
    publish: tuple[str, ...] | None = None
    admin: bool = False

    def narrow(self, grants: Grants) -> Grants:
        """The service's grants, cut to the scope."""
        return Grants(_cut(grants.subscribe, self.subscribe), _cut(grants.publish, self.publish))

    def narrow_topics(self, topics: Iterable[Topic]) -> tuple[Topic, ...]:
        """Of the topics that the service's tokens subscribe by themselves, those that the key may read."""
        allowed = self.subscribe
        return tuple(
            name
            for name in topics
            if allowed is None or any(policy.matches(pattern, tenancy.local(name)) for pattern in allowed)
        )

    def beyond(self, grants: Grants) -> tuple[str, str] | None:
        """The first pattern that goes beyond the grants, as what it is for and the pattern; None if none does."""
        for action, wanted, granted in (
            ("subscribe", self.subscribe, grants.subscribe),
            ("publish", self.publish, grants.publish),
        ):
            for pattern in wanted or ():
                if not any(covers(wider, pattern) for wider in granted):
                    return action, pattern
        return None


def covers(wider: str, pattern: str) -> bool:
    """Whether the wider pattern matches every topic that the pattern does."""
    return common(wider, pattern) == pattern


def common(one: str, other: str) -> str | None:
    """The pattern of the topics that both patterns match; None if there are none."""
    if policy.is_reserved(one) != policy.is_reserved(other):
        return None  # A bare * does not match what is reserved.
    short, long = sorted((one.split(":"), other.split(":")), key=len)
    # The last * of a pattern stands for one segment or more, so for what the longer one has beyond it.
    if len(short) < len(long) and short[-1] != "*":
        return None
    found = []
    for index, segment in enumerate(long):
        mine = short[index] if index < len(short) else "*"
        if mine != segment and "*" not in (mine, segment):
            return None
        found.append(mine if segment == "*" else segment)
    return ":".join(found)


def _cut(granted: Sequence[str], scope: Sequence[str] | None) -> tuple[str, ...]:
    if scope is None:
        return tuple(granted)
    found = dict.fromkeys(
        shared for pattern in granted for wanted in scope if (shared := common(pattern, wanted)) is not None
    )
    # What another one covers says nothing.
    return tuple(pattern for pattern in found if not any(covers(wider, pattern) for wider in found if wider != pattern))
