"""Where a token may stand, and that it stands in one place only.

The transports are handed an ``Authenticate`` by the composition root; how tokens are checked is identity's business.
"""

# No postponed annotations here: FastAPI could not resolve those that name a local dependency.
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated

from fastapi import Depends, Query
from fastapi.security import OAuth2PasswordBearer
from starlette.requests import HTTPConnection

from hub import tenancy
from hub.errors import HubError, NotYet
from hub.model import Principal

Authenticate = Callable[[str], Principal]
"""Checks an access token; raises ``HubError`` with the reason. Does no I/O, so that it may run on the event loop. Where
it would need some, it raises ``NotYet``; see ``admit``."""

PrincipalDependency = Callable[..., Awaitable[Principal]]
"""Coroutines, though they hardly ever wait: FastAPI would call a plain function in a thread, which costs more than the
work, and what authenticates is made for the event loop alone."""

_SUBPROTOCOL = "bearer."

# Declares the scheme for the docs page's Authorize button; the token itself is read by the dependency below.
_scheme = OAuth2PasswordBearer(tokenUrl="/v1/auth/login", auto_error=False)


async def admit(authenticate: Authenticate, token: str) -> Principal:
    """Check an access token as ``authenticate`` does; if it has to be waited for something, wait (seconds, at most)."""
    try:
        return authenticate(token)
    except NotYet as refusal:
        await refusal.ready()
    return authenticate(token)


def bearer(authenticate: Authenticate) -> PrincipalDependency:
    """A dependency for HTTP routes: the principal of ``Authorization: Bearer`` (RFC 6750, 2.1)."""

    async def principal(connection: HTTPConnection, _: Annotated[str | None, Depends(_scheme)]) -> Principal:
        return await admit(authenticate, only_token(from_headers(connection.headers.getlist("authorization"))))

    return principal


def administrator(principal: PrincipalDependency) -> PrincipalDependency:
    """A dependency for routes that only administrators may call."""

    async def admin(caller: Annotated[Principal, Depends(principal)]) -> Principal:
        if not caller.admin:
            raise HubError("forbidden", "Only an administrator may do this.")
        return caller

    return admin


def realm(principal: PrincipalDependency) -> Callable[..., Awaitable[str]]:
    """A dependency for routes that only administrators may call: the tenant that the call is about.

    It is the caller's own. Administrators of the default tenant are the operators of the hub, who may name another;
    who does so without being one is told ``forbidden``, whether there is such a tenant or not.
    """

    async def tenant(
        caller: Annotated[Principal, Depends(administrator(principal))],
        tenant: Annotated[
            str | None,
            Query(max_length=tenancy.MAX, description="Which tenant, where that is not one's own: for operators."),
        ] = None,
    ) -> str:
        if tenant is None or tenant == caller.tenant:
            return caller.tenant
        if caller.tenant != tenancy.DEFAULT:
            raise HubError("forbidden", "Only an operator, an administrator without a tenant, may name another one.")
        return tenancy.check(tenant)

    return tenant


def from_headers(values: Iterable[str]) -> list[str]:
    """The tokens of ``Authorization`` headers; raises ``token_malformed`` for another scheme."""
    tokens = []
    for value in values:
        scheme, _, token = value.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise HubError("token_malformed", "The Authorization header must be 'Bearer <token>'.")
        tokens.append(token.strip())
    return tokens


def from_subprotocols(offered: Sequence[str]) -> list[str]:
    """The tokens among the offered subprotocols: ``bearer.<jwt>``."""
    return [name.removeprefix(_SUBPROTOCOL) for name in offered if name.startswith(_SUBPROTOCOL)]


def only_token(tokens: Sequence[str]) -> str:
    """The one token; raises ``token_missing`` or ``credentials_ambiguous``."""
    if not tokens or tokens == [""]:
        raise HubError("token_missing", "Log in at /v1/auth/login and send the access token.")
    if len(tokens) > 1:
        raise HubError("credentials_ambiguous", "Send one token, in one place.")
    return tokens[0]


def address(connection: HTTPConnection) -> str:
    """Where the caller is, for the log. Behind a trusted proxy, what that says."""
    return connection.client.host if connection.client else "unknown"
