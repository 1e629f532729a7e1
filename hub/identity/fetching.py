"""Fetching the public keys of another issuer: from the configured address, or by OpenID Connect discovery.

Whatever is at the other end, a fetch takes at most ``TIMEOUT`` seconds and ``MAX_BYTES`` a document, goes only where
the settings say (no redirect is followed, and discovery may not lead to another origin), and sends nothing but the
request. Nothing in a token has a say in it. Knows settings, notation and jwks.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from dataclasses import dataclass
from typing import Any

import httpx

from hub import notation
from hub.identity import jwks
from hub.issuer_settings import IssuerSettings

TIMEOUT = 5.0
MAX_BYTES = 256 * 1024
_USUAL_AGE, _LEAST_AGE, _MOST_AGE = 3600.0, 300.0, 86400.0
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]{1,9})")
_WELL_KNOWN = "/.well-known/openid-configuration"


class FetchError(Exception):
    """Keys could not be had; the message says why, for the log."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An issuer's keys, and for how many seconds they are good."""

    keys: jwks.KeySet
    max_age: float


class Fetcher:
    """Fetches the keys of issuers."""

    def __init__(self) -> None:
        self._tls: ssl.SSLContext | None = None

    async def fetch(self, issuer: IssuerSettings) -> Fetched:
        """The issuer's keys now; raises ``FetchError``."""
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._fetch(issuer)
        except TimeoutError:
            raise FetchError(f"no answer within {TIMEOUT:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise FetchError(f"{type(error).__name__}: {error}") from None

    async def _fetch(self, issuer: IssuerSettings) -> Fetched:
        if self._tls is None:
            # Reads all the machine's certificates: once, and not on the event loop.
            self._tls = await asyncio.to_thread(httpx.create_ssl_context)
        # A client of its own each time, so that no cookie and no connection is kept: fetches are rare.
        async with httpx.AsyncClient(verify=self._tls, timeout=TIMEOUT, follow_redirects=False) as client:
            url = issuer.jwks_url or await _discover(client, issuer)
            response, document = await _get(client, url)
        try:
            keys = jwks.read_set(document, issuer.accepted_algorithms)
        except ValueError as error:
            raise FetchError(f"{url}: {error}") from None
        return Fetched(keys, _max_age(response))


async def _discover(client: httpx.AsyncClient, issuer: IssuerSettings) -> str:
    """Where the keys are, by OpenID Connect Discovery 1.0, sections 4.1 and 4.3."""
    url = issuer.issuer.rstrip("/") + _WELL_KNOWN
    _, document = await _get(client, url)
    try:
        said: Any = json.loads(document)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise FetchError(f"{url} is no JSON object")
    if said.get("issuer") != issuer.issuer:
        raise FetchError(f"{url} is of the issuer {str(said.get('issuer'))[:200]!r}, not {issuer.issuer!r}")
    found = said.get("jwks_uri")
    if not isinstance(found, str) or notation.url_origin(found) != notation.url_origin(issuer.issuer):
        raise FetchError(f"{url} says that the keys are at {str(found)[:200]!r}; if that is right, set jwks_url to it")
    return found


async def _get(client: httpx.AsyncClient, url: str) -> tuple[httpx.Response, bytes]:
    # Uncompressed: the size of what is received is then the size of what has to be held.
    headers = {"Accept": "application/json, application/jwk-set+json", "Accept-Encoding": "identity"}
    async with client.stream("GET", url, headers=headers) as response:
        if response.is_redirect:
            target = response.headers.get("location", "")[:200]
            raise FetchError(f"{url} redirects to {target!r}, which is not followed; configure where the keys are")
        if response.status_code != 200:
            raise FetchError(f"{url} answered {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise FetchError(f"{url} answered compressed, though asked not to")
        document = bytearray()
        async for chunk in response.aiter_raw():
            document += chunk
            if len(document) > MAX_BYTES:
                raise FetchError(f"{url} answered more than {MAX_BYTES} bytes")
    return response, bytes(document)


def _max_age(response: httpx.Response) -> float:
    """For how long the answer is fresh (RFC 9111, 4.2), but not for moments and not for ever."""
    said = response.headers.get("cache-control", "").lower()
    if "no-store" in said or "no-cache" in said:
        return _LEAST_AGE
    found = _MAX_AGE.search(said)
    if found is None:
        return _USUAL_AGE
    age = response.headers.get("age", "")
    fresh = float(found[1]) - (float(age) if age.isascii() and age.isdigit() else 0.0)
    return min(max(fresh, _LEAST_AGE), _MOST_AGE)
