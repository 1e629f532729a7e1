"""Errors over HTTP: ``application/problem+json`` (RFC 9457) for everything that is refused, with a stable ``code``."""

from __future__ import annotations

import logging
import time
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from hub.errors import TABLE, HubError, Retry

log = logging.getLogger("hub.http")

_RETRY_AFTER = 1
"""Seconds a client is asked to wait after a 503 that does not say more."""


UNAUTHORIZED = (
    "token_missing", "token_malformed", "token_expired", "token_signature", "token_revoked", "logged_out",
    "user_disabled", "key_unknown", "key_expired", "credentials_ambiguous", "issuer_unavailable",
)  # fmt: skip
"""How a request of an unknown caller is refused."""


class Problem(BaseModel):
    """The body of every error."""

    type: str = Field("about:blank", description="A URI for the kind of problem; `code` is what programs go by.")
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable name; see docs/protocol.md, section 6.")
    index: int | None = Field(None, description="In a batch: which item.")


def responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI ``responses`` of a route that refuses with these codes."""
    by_status: dict[int | str, list[str]] = {}
    for code in codes:
        by_status.setdefault(TABLE[code].status, []).append(code)
    return {
        status: {
            "description": ", ".join(f"`{code}`" for code in names),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, names in by_status.items()
    }


def render(error: HubError) -> JSONResponse:
    """The response for a refusal."""
    kind = error.kind
    content = {"type": "about:blank", "title": kind.title, "status": kind.status, "detail": error.detail}
    headers = {}
    if kind.status == 401:
        # RFC 6750, 3: for clients that know only that. Who sent no token is told no more than that one is wanted.
        wrong_token = kind.code.startswith(("token_", "key_")) and kind.code != "token_missing"
        challenge = f'Bearer error="invalid_token", error_description="{kind.code}"' if wrong_token else "Bearer"
        headers["WWW-Authenticate"] = challenge
    if kind.status == 426:
        # RFC 9110, 15.5.22, and RFC 6455, 4.2.2: what to upgrade to.
        headers |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    if kind.retry is Retry.LATER:
        headers["Retry-After"] = str(error.extra.get("retry_after", _RETRY_AFTER))
    return JSONResponse(
        content | {"code": kind.code} | error.extra,
        status_code=kind.status,
        headers=headers,
        media_type="application/problem+json",
    )


def install(app: FastAPI, tell: Teller | None = None) -> None:
    """Make every error of the app a problem. ``tell`` says in the log which requests the hub failed."""
    tell = tell or Teller()

    @app.exception_handler(HubError)
    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HubError)
        if error.kind.status >= 500:
            tell(error)
        return render(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        # Without the input: it may hold a password or a token.
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        message = str(first["msg"]).removeprefix("Value error, ")
        return render(HubError("request_invalid", f"{where}: {message}." if where else f"{message}."))

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, HubError):  # FastAPI's own words for a body over the limit.
            return render(error.__cause__)
        code = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}.get(error.status_code)
        if code is None:
            code = "request_invalid" if error.status_code < 500 else "internal"
        response = render(HubError(code, str(error.detail) if code == "request_invalid" else None))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, error: Exception) -> JSONResponse:
        # An upload that broke off. Nobody reads this; without it, every such client would leave a traceback in the log.
        return render(HubError("request_invalid", "The body is incomplete."))

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        response = render(HubError("internal"))
        # uvicorn ends the connection; a client that is not told would put its next request on it.
        response.headers["Connection"] = "close"
        return response


class Teller:
    """Says in the log that requests fail, without a line for each of them."""

    _PAUSE = 10.0

    def __init__(self) -> None:
        self._unsaid: dict[str, int] = {}
        self._next: dict[str, float] = {}

    def __call__(self, error: HubError) -> None:
        """Say it, or count it for the next time."""
        now = time.monotonic()
        if now < self._next.get(error.code, 0.0):
            self._unsaid[error.code] = self._unsaid.get(error.code, 0) + 1
            return
        self._next[error.code] = now + self._PAUSE
        unsaid = self._unsaid.pop(error.code, 0)
        log.error("answered %s [%s] (and %d times since this was said last)", error, error.__cause__, unsaid)
