"""The audit log's lines: who did what, to whom, from where, and how it ended; chained so that tampering shows.

A line is written in the transaction of what it tells of: where the line cannot be written, the change is not made.
That is why the log lies in the database of identities and not in a file of its own. Only what changes nothing there
(failed logins, publishing as an administrator) is gathered first, and written later: see ``audit_notes``.

Each line has the SHA-256 of the line before it and of its own content, as JSON. So whoever changes, adds or takes out a
line must make all later ones anew, and whoever noted the newest hash elsewhere notices. No line holds a secret, a token
or a password, nor a name that no account has: people type passwords into the wrong field. Names are in full: it is one
log for all tenants (``audit_view`` is what one of them sees of it). Knows models and the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from hub.identity.models import AuditEntry
from hub.model import Principal, timestamp


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: ``user:alice``, ``service:shop``, ``local:root`` (somebody at the hub's own command line),
    ``hub`` itself, or ``anonymous``; with the session of their token and the address they call from, where known."""

    source: str
    session: str = ""
    address: str = ""

    @classmethod
    def of(cls, principal: Principal, address: str = "") -> Actor:
        """The one a token speaks for."""
        return cls(principal.source, principal.session, address)


HUB = Actor("hub")


def anonymous(address: str) -> Actor:
    """Somebody who did not show who they are."""
    return Actor("anonymous", address=address)


@dataclass(frozen=True, slots=True)
class Record:
    """What is to be told. ``outcome`` is ``ok`` or the code of a refusal; ``details`` are JSON, without secrets."""

    actor: Actor
    action: str
    target: str = ""
    outcome: str = "ok"
    details: Mapping[str, Any] = field(default_factory=dict)


async def append(db: AsyncSession, record: Record, *, now: float) -> AuditEntry:
    """Write a line in the caller's transaction, which is ``Store.write``'s: the chain has one end."""
    last = await db.scalar(select(AuditEntry).order_by(AuditEntry.seq.desc()).limit(1))
    entry = AuditEntry(
        seq=1 if last is None else last.seq + 1,
        time=now,
        action=record.action,
        outcome=record.outcome,
        actor=record.actor.source,
        session=record.actor.session,
        address=record.actor.address,
        target=record.target,
        details=dict(record.details),
        hash="",
    )
    entry.hash = link("" if last is None else last.hash, described(entry))
    db.add(entry)
    await db.flush()
    return entry


def described(entry: AuditEntry) -> dict[str, Any]:
    """A line as JSON: what the API answers and ``hub audit export`` writes."""
    return {
        "seq": entry.seq,
        "time": timestamp(entry.time),
        "actor": entry.actor,
        "session": entry.session,
        "address": entry.address,
        "action": entry.action,
        "target": entry.target,
        "outcome": entry.outcome,
        "details": entry.details,
        "hash": entry.hash,
    }


def link(previous: str, line: Mapping[str, Any]) -> str:
    """The hash of a line: of the previous one's hash, a line feed, and the line as JSON without its own hash, with
    sorted keys, no spaces, and ASCII only."""
    content = {name: value for name, value in line.items() if name != "hash"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()
