"""Calls to the hub over HTTP: one connection pool, and every outcome either JSON, ``Refused`` or ``Unavailable``.

An answer that is not the hub's (no JSON, no problem ``code``) is an outage, not a verdict: a proxy's error page says
nothing about the request. Knows errors, the codec and addresses; tokens are handed in per call.
"""

from __future__ import annotations

import base64
import email.utils
import ssl
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import httpx

from hub_client._address import Address
from hub_client._errors import Refused, Unavailable
from hub_client._frames import encode

USER_AGENT = f"hub-client/{version('notification-hub-client')} python"

RETRY_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may work later."""

_UNDONE_STATUSES = frozenset({408, 429, 503})
# The request was not (wholly) sent, so it had no effect.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class Http:
    """An HTTP client of one hub. Keeps connections alive and reuses them."""

    def __init__(self, address: Address, *, attempt_timeout: float = 10, tls: ssl.SSLContext | None = None) -> None:
        self._address = address
        self._client = httpx.AsyncClient(
            # A loopback hub is on this machine; an environment's proxy is not, or sees another loopback.
            trust_env=not address.is_loopback,
            verify=True if tls is None else tls,
            timeout=attempt_timeout,
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(self, path: str, token: str, query: Mapping[str, str] | None = None, wait: float = 0) -> Any:
        """GET; ``wait``: seconds by which the hub may hold its answer."""
        return await self._call("GET", self._address.http(path, query), {"Authorization": f"Bearer {token}"}, wait=wait)

    async def post(self, path: str, body: object, token: str | None = None) -> Any:
        """POST JSON. ``body`` may be JSON text already."""
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        content = body if isinstance(body, str) else encode(body)
        return await self._call("POST", self._address.http(path), headers, content)

    async def post_form(self, path: str, form: Mapping[str, str], user: str, password: str) -> Any:
        """POST a form with HTTP Basic credentials (RFC 7617)."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode(),
        }
        return await self._call("POST", self._address.http(path), headers, str(httpx.QueryParams(form)))

    async def _call(
        self, method: str, url: str, headers: Mapping[str, str], content: str | None = None, wait: float = 0
    ) -> Any:
        timeout: Any = httpx.USE_CLIENT_DEFAULT
        if wait:
            timeout = httpx.Timeout(self._client.timeout.connect, read=wait + (self._client.timeout.read or 0))
        try:
            response = await self._client.request(method, url, headers=headers, content=content, timeout=timeout)
        except httpx.RequestError as error:
            words = str(error) or type(error).__name__
            raise Unavailable(
                f"the hub cannot be reached at {self._address.base}: {words}",
                maybe_done=not isinstance(error, _UNSENT),
            ) from error
        return _outcome(response)


def problem_code(value: object) -> str | None:
    """The ``code`` of a problem object (RFC 9457), if that is one of the hub's."""
    code = value.get("code") if isinstance(value, dict) else None
    return code if isinstance(code, str) else None


def _outcome(response: httpx.Response) -> Any:
    try:
        value = response.json() if response.content else None
    except ValueError:
        value = None
    if response.is_success and (value is not None or response.status_code == 204):
        return value
    code = problem_code(value)
    if code is None or not isinstance(value, dict):
        raise Unavailable(
            f"{response.url.scheme}://{response.url.netloc.decode()}{response.url.path} answered "
            f"{response.status_code}, and not as a hub does",
            maybe_done=response.status_code not in _UNDONE_STATUSES,
            retry_after=_retry_after(response),
        )
    detail = str(value.get("detail") or value.get("title") or "")
    if response.status_code in RETRY_STATUSES:
        raise Unavailable(
            f"{code}: {detail}",
            maybe_done=response.status_code not in _UNDONE_STATUSES,
            retry_after=_retry_after(response),
        )
    index = value.get("index")
    raise Refused(code, detail, response.status_code, index if isinstance(index, int) else None)


def _retry_after(response: httpx.Response) -> float:
    """Seconds (RFC 9110, 10.2.3): a number, or a date."""
    text = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0
