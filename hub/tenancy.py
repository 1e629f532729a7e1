"""Tenants: customers of one hub who know nothing of each other. Names in full and local names, and the way between.

The whole idea: *inside* the hub every topic, every id of a user, a service or a session, and every source is its name
in full, ``tenant#local``. Two tenants' ``chat:lobby`` are two topics, and their ``alice`` two people, to the log, the
fan-out, presence, limits and revocation alike, which therefore keep them apart without knowing. The default tenant has
no prefix: where there are no tenants, names are as people write them.

*At the edges* (HTTP, frames, claims, forms, the command line, an event's ``source``) people say and see local names.
What a caller names is put in full with the caller's own tenant (``hub.model.topic`` and ``user_topic`` take it), and
what is shown is ``local``. ``#`` can stand in no name, so nobody can say a name of another tenant.

Pure; knows errors and nothing else. Where there are no tenants, none of it costs more than a search in a short string.
"""

from __future__ import annotations

import re

from hub.errors import HubError

SEPARATOR = "#"
"""Between tenant and local name. It is in no topic, id or tenant."""

DEFAULT = ""
"""The tenant of all who were given none. Its administrators are the operators of the hub."""

MAX = 40
"""Characters of a tenant's name."""

_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


def check(tenant: str) -> str:
    """Return it if it may be the name of a tenant (the default one's, which is empty, is none).

    Raises ``request_invalid``. Small letters only, so that no two look alike, and it may be part of a host's name.
    """
    if not _TENANT.fullmatch(tenant):
        raise HubError(
            "request_invalid",
            f"{tenant[:60]!r} is not the name of a tenant: 1-{MAX} characters of a-z 0-9 -, no '-' first or last.",
        )
    return tenant


def join(tenant: str, local: str) -> str:
    """The name in full. Both were checked: neither has a ``#``."""
    return f"{tenant}{SEPARATOR}{local}" if tenant else local


def split(full: str) -> tuple[str, str]:
    """Tenant and local name; the way back from ``join``."""
    if SEPARATOR not in full:  # Here and below: most of the time, and quickly seen.
        return DEFAULT, full
    tenant, _, name = full.rpartition(SEPARATOR)
    return tenant, name


def of_kind(kind: str, full: str) -> str:
    """The name with what it names before it, in full: ``acme#alice``, a ``user``, is ``acme#user:alice``."""
    if SEPARATOR not in full:
        return f"{kind}:{full}"
    tenant, name = split(full)
    return join(tenant, f"{kind}:{name}")


def local(full: str) -> str:
    """What people are shown: the name without its tenant."""
    return full.rpartition(SEPARATOR)[2] if SEPARATOR in full else full


def tenant_of(full: str) -> str:
    """Whose name it is."""
    return full.rpartition(SEPARATOR)[0] if SEPARATOR in full else DEFAULT
