"""``GET /v1/audit``: administrators read the audit log, in pages (docs/protocol.md, section 2). Who reads is in it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from hub.errors import HubError
from hub.identity.audit import Actor, described
from hub.identity.audit_log import AuditLog, Filter
from hub.identity.audit_notes import Notes
from hub.identity.audit_view import seen_by
from hub.model import Principal
from hub.transports.credentials import PrincipalDependency, address, administrator, realm
from hub.transports.problem import UNAUTHORIZED, responses

_LAST = 2**63 - 1


class AuditLine(BaseModel):
    """One line of the audit log."""

    seq: int
    time: str = Field(description="RFC 3339. Of what was gathered: when it first happened.")
    actor: str = Field(description="`user:…`, `service:…`, `local:…` (the hub's command line), `hub`, `anonymous`.")
    session: str = Field(description="The actor's login; empty if unknown.")
    address: str = Field(description="Where the actor called from; empty if unknown.")
    action: str
    target: str = Field(description="Whom it was done to, such as `user:bob`; empty: the actor, or nobody.")
    outcome: str = Field(description="`ok`, or the code of the refusal.")
    details: dict[str, Any]
    hash: str = Field(description="Of this line and the hash before it: docs/audit.md.")


class AuditPage(BaseModel):
    """Some lines, the oldest first."""

    lines: list[AuditLine]
    more: bool = Field(description="There are more: go on with `after` = the last `seq`, or `before` = the first.")


def router(log: AuditLog, notes: Notes, principal: PrincipalDependency) -> APIRouter:
    """The route; ``principal`` is a dependency that finds the caller."""
    routes = APIRouter(tags=["administration"])
    caller = Depends(administrator(principal))

    async def part(who: Principal = caller, tenant: str = Depends(realm(principal))) -> str | None:
        """None: the whole log, of all tenants. It is the operators'."""
        return tenant or None

    @routes.get(
        "/v1/audit",
        summary="Read the audit log",
        description=(
            "Without `after`: the newest `limit` lines (of those before `before`). With `after`: those that follow it, "
            "which is how to follow the log. A tenant's administrators read what is about their own people; operators "
            "all of it, with names in full, or a tenant's part (`tenant`). Failed logins are gathered for seconds, and "
            "what administrators publish for a minute, before they are in it."
        ),
        responses=responses(*UNAUTHORIZED, "forbidden", "request_invalid", "database_unavailable"),
    )
    async def read(
        request: Request,
        after: Annotated[
            int | None, Query(ge=0, le=_LAST, description="List what follows the line with this `seq`.")
        ] = None,
        before: Annotated[
            int | None, Query(ge=0, le=_LAST, description="List what stands before the line with this `seq`.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        actor: Annotated[str | None, Query(max_length=256, description="Such as `user:alice`.")] = None,
        action: Annotated[
            str | None, Query(max_length=256, description="Such as `login`; `user.*` is all that begin so.")
        ] = None,
        target: Annotated[str | None, Query(max_length=256, description="Such as `user:bob`.")] = None,
        outcome: Annotated[
            str | None, Query(max_length=256, description="`ok`, or a code such as `credentials_invalid`.")
        ] = None,
        since: Annotated[datetime | None, Query(description="RFC 3339, or Unix seconds.")] = None,
        until: Annotated[datetime | None, Query(description="The same; not included.")] = None,
        who: Principal = caller,
        tenant: str | None = Depends(part),
    ) -> AuditPage:
        if after is not None and before is not None:
            raise HubError("request_invalid", "Give after or before, not both.")
        wanted = Filter(actor, action, target, outcome, _seconds(since), _seconds(until), tenant)
        found, more = await log.page(wanted, after=after, before=before, limit=limit)
        notes.done("audit.read", Actor.of(who, address(request)))
        lines = [described(entry) for entry in found]
        if tenant is not None:
            lines = [seen_by(tenant, line) for line in lines]
        return AuditPage(lines=[AuditLine(**line) for line in lines], more=more)

    return routes


def _seconds(time: datetime | None) -> float | None:
    """Unix seconds; raises ``request_invalid`` where it is not said which zone's time it is."""
    if time is None:
        return None
    if time.tzinfo is None:
        raise HubError("request_invalid", "A time needs its zone, such as 2026-01-31T12:00:00Z.")
    return time.timestamp()
