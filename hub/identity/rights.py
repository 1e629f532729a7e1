"""What an account may do, as its tokens say it: its grants and topics, checked when they are given. Pure.

In what is given, ``{sub}`` stands for the account's local id; patterns and topics are local names. Knows models,
policy, tenancy, the model and errors.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from hub import tenancy
from hub.errors import HubError
from hub.identity.models import Account
from hub.model import Grants, Topic, topic
from hub.policy import check_pattern, expand

MAX_BYTES = 2000
"""Grants and topics of one account, as JSON: they are in each of its tokens, which has at most 4,096 characters."""


def grants_of(account: Account) -> Grants:
    """An account's grants for a token: ``{sub}`` replaced by its id."""
    name = tenancy.local(account.id)
    return Grants(
        tuple(expand(pattern, name) for pattern in account.subscribe),
        tuple(expand(pattern, name) for pattern in account.publish),
    )


def topics_of(account: Account) -> tuple[Topic, ...]:
    """The topics an account's token subscribes by itself, in full: ``{sub}`` replaced by its id."""
    tenant, own = tenancy.split(account.id)
    return tuple(Topic(tenancy.join(tenant, expand(name, own))) for name in account.topics)


def checked(account_id: str, grants: Grants | None, topics: tuple[str, ...] | None) -> dict[str, object]:
    """The columns of what is given, checked with the id in the place of ``{sub}``.

    Raises ``topic_invalid`` and ``request_invalid``.
    """
    own = tenancy.local(account_id)
    rights: dict[str, object] = {}
    refuse_too_many(grants or Grants(), topics or ())
    if grants is not None:
        for pattern in grants.subscribe + grants.publish:
            check_pattern(expand(pattern, own))
        rights["subscribe"] = list(dict.fromkeys(grants.subscribe))
        rights["publish"] = list(dict.fromkeys(grants.publish))
    if topics is not None:
        for name in topics:
            topic(expand(name, own))
        rights["topics"] = list(dict.fromkeys(topics))
    return rights


def refuse_too_many(grants: Grants, topics: Sequence[str]) -> None:
    """Raise ``request_invalid`` if there is no room for all of them in a token."""
    size = len(json.dumps([grants.subscribe, grants.publish, topics], separators=(",", ":")))
    if size > MAX_BYTES:
        raise HubError(
            "request_invalid",
            f"The grants and topics have {size} bytes, a token has room for {MAX_BYTES}; use wider patterns.",
        )
