"""What every HTTP request passes: a bound on its body, and the security headers of its answer. Plain ASGI."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.errors import HubError
from hub.transports.problem import render

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# Swagger UI starts from an inline script and sets inline styles.
_DOCS_POLICY = _PAGE_POLICY.replace("-src 'self';", "-src 'self' 'unsafe-inline';", 2)
API_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""On every answer of the API; pages have another policy."""

_SMALL = 64 * 1024


class BodyLimit:
    """Refuses a request body over ``limit`` bytes (413) before it is held in memory, or over 64 KiB where it is none of
    ``large_paths``: FastAPI reads and parses most bodies before it asks who sent them.

    FastAPI's own ``max_body_size`` does as much, but answers in plain text where all our errors are problems.
    """

    def __init__(self, app: ASGIApp, limit: int, large_paths: Collection[str]) -> None:
        self._app = app
        self._limit = limit
        self._large_paths = large_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit if _path(scope) in self._large_paths else min(self._limit, _SMALL)
        refusal = HubError("request_too_large", f"The body of this request may have {limit} bytes.")
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not length.isdigit() or int(length) > limit:
            await render(refusal)(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise refusal
            return message

        await self._app(scope, counted, send)


class SecurityHeaders:
    """Puts the security headers on every answer: strict for the console, closed for the API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = _path(scope)
        policy = None if path.startswith("/v1/") else _DOCS_POLICY if path.startswith("/docs") else _PAGE_POLICY

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(API_HEADERS)
                if policy is not None:
                    headers["Content-Security-Policy"] = policy
            await send(message)

        await self._app(scope, receive, with_headers)


def _path(scope: Scope) -> str:
    """The path below that at which the hub is mounted, if it is (see ``hub.embed``)."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
