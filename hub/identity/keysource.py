"""Where the keys of an issuer come from while the hub runs: fixed ones, or fetched ones that follow a rotation.

Finding a key is synchronous and needs no I/O. Where it needs some (the keys are not there yet, or a token names a new
one), it raises ``NotYet``, whose ``ready`` fetches. Promises of fetched keys: whoever's key is in memory is served,
also while the issuer is down; everybody waits for the same fetch; unknown key ids, however many, cause at most
``BURST`` fetches at once and then one every ``PAUSE`` seconds; after a failure there is a growing, random wait. Each
issuer has keys of its own, so that none waits for another. Knows fetching, jwks, settings and errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import random
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from hub.errors import HubError, NotYet
from hub.identity import jwks
from hub.identity.fetching import Fetched, FetchError
from hub.issuer_settings import IssuerSettings
from hub.settings import SettingsError

_log = logging.getLogger(__name__)

BURST = 3
"""Fetches that unknown key ids may cause at once."""
PAUSE = 20.0
"""Seconds after which they may cause another one."""
_BACKOFF_CAP = 60.0
_MAX_ABSENT = 1000
"""Key ids known to be none of the issuer's."""
_MAX_FILE = 256 * 1024


class KeySource(Protocol):
    """The keys of one issuer."""

    def find(self, kid: str | None, algorithm: str) -> Any:
        """The key to verify with; raises ``token_signature`` or ``NotYet``."""

    async def start(self) -> None:
        """Have the keys, or begin to get them. Raises ``SettingsError``."""

    async def stop(self) -> None:
        """Stop what was started. Safe to call twice."""


class FixedKeys:
    """A shared secret, or the public keys of a file."""

    def __init__(self, issuer: IssuerSettings) -> None:
        self._issuer = issuer
        self._secret = None if issuer.secret is None else issuer.secret.get_secret_value().encode()
        self._keys = jwks.KeySet(())

    def find(self, kid: str | None, algorithm: str) -> Any:
        """See ``KeySource``. A secret is meant whatever the token calls it."""
        if self._secret is not None:
            return self._secret
        # The one key of a PEM file has no id, whatever its tokens call it.
        found = self._keys.find(None if self._keys.ids() == (None,) else kid, algorithm)
        if found is None:
            raise _unknown_key(self._issuer)
        return found.key

    async def start(self) -> None:
        """See ``KeySource``."""
        if self._issuer.keys_file is not None:
            self._keys = await asyncio.to_thread(self._read)

    def _read(self) -> jwks.KeySet:
        path = self._issuer.keys_file
        assert path is not None
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_FILE)
            read = jwks.read_set if content.lstrip().startswith(b"{") else jwks.read_pem
            return read(content, self._issuer.accepted_algorithms)
        except OSError as error:
            raise SettingsError(f"The keys {path} of {self._issuer.name!r} cannot be read: {error.strerror}.") from None
        except ValueError as error:
            raise SettingsError(f"The keys {path} of {self._issuer.name!r} cannot be used: {error}.") from None

    async def stop(self) -> None:
        """See ``KeySource``."""


class Fetches(Protocol):
    """What fetches; see ``hub.identity.fetching``."""

    async def fetch(self, issuer: IssuerSettings) -> Fetched:
        """The issuer's keys now; raises ``FetchError``."""


class FetchedKeys:
    """Keys that are fetched, and fetched again before they are stale. ``changed`` is told of others than before."""

    def __init__(
        self,
        issuer: IssuerSettings,
        fetcher: Fetches,
        *,
        changed: Callable[[], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._issuer = issuer
        self._fetcher = fetcher
        self._changed = changed
        self._clock = clock
        self._keys: jwks.KeySet | None = None
        self._due = clock()
        self._failures = 0
        self._allowance = float(BURST)
        self._counted_at = clock()
        self._wanted: set[str | None] = set()
        # Until when a key id is known to be none of the issuer's.
        self._absent: OrderedDict[str | None, float] = OrderedDict()
        self._fetching: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """See ``KeySource``. Waits for nothing: an issuer that is down does not keep the hub from starting."""
        self._keeper = asyncio.create_task(self._keep(), name=f"keys of {self._issuer.name}")

    async def stop(self) -> None:
        """See ``KeySource``."""
        for task in (self._keeper, self._fetching):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def find(self, kid: str | None, algorithm: str) -> Any:
        """See ``KeySource``."""
        found = None if self._keys is None else self._keys.find(kid, algorithm)
        if found is not None:
            return found.key
        now = self._clock()
        if self._absent.get(kid, now) > now:
            raise _unknown_key(self._issuer)
        raise NotYet(
            "issuer_unavailable",
            f"The keys of the issuer {self._issuer.name!r} cannot be had now; try again.",
            ready=functools.partial(self._want, kid),
            retry_after=max(1, self._wait(now)),
        )

    async def _want(self, kid: str | None) -> None:
        """Wait for a fetch, if one may be made now, so that it is known whether there is such a key."""
        if self._fetching is None:
            now = self._clock()
            if self._wait(now):
                return
            if self._failures == 0:
                self._allowance -= 1
        if len(self._wanted) < _MAX_ABSENT:
            self._wanted.add(kid)
        await self._refresh()

    def _wait(self, now: float) -> int:
        """Whole seconds until a token may cause a fetch."""
        if self._failures:
            return max(0, math.ceil(self._due - now))
        self._allowance = min(float(BURST), self._allowance + (now - self._counted_at) / PAUSE)
        self._counted_at = now
        return 0 if self._allowance >= 1 else max(1, math.ceil((1 - self._allowance) * PAUSE))

    async def _refresh(self) -> None:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(), name=f"fetch of {self._issuer.name}")
        # Not awaited itself: a caller that goes away ends its own waiting, not everybody's fetch.
        await asyncio.wait([self._fetching])

    async def _keep(self) -> None:
        """Fetch whenever it is due."""
        while True:
            await self._refresh()
            while (wait := self._due - self._clock()) > 0:
                await asyncio.sleep(wait)

    async def _fetch(self) -> None:
        try:
            fetched = await self._fetcher.fetch(self._issuer)
        except FetchError as error:
            self._failed(str(error))
        except Exception:
            # Whatever it is, it must not end the keeping, nor be told to whoever sent a token.
            _log.exception("fetching the keys of the issuer %r", self._issuer.name)
            self._failed("see above")
        else:
            self._succeeded(fetched)
        finally:
            self._wanted.clear()
            self._fetching = None

    def _failed(self, reason: str) -> None:
        wait = random.uniform(0.5, 1) * min(_BACKOFF_CAP, 2**self._failures)  # noqa: S311 - no secret.
        self._due = self._clock() + wait
        if self._failures == 0:
            known = "nobody of it can come in" if self._keys is None else "the known ones stay in use"
            _log.warning("the keys of the issuer %r cannot be had (%s); %s", self._issuer.name, reason, known)
        self._failures = min(self._failures + 1, 16)

    def _succeeded(self, fetched: Fetched) -> None:
        now = self._clock()
        if self._failures:
            _log.warning("the keys of the issuer %r are to be had again", self._issuer.name)
        self._failures = 0
        # Hubs that were started together need not ask together.
        self._due = now + fetched.max_age * random.uniform(0.9, 1)  # noqa: S311 - no secret.
        for kid in self._wanted - set(fetched.keys.ids()):
            self._absent[kid] = now + PAUSE
        while len(self._absent) > _MAX_ABSENT:
            self._absent.popitem(last=False)
        before, self._keys = self._keys, fetched.keys
        if before is not None and before != fetched.keys:
            _log.info("the issuer %r has other keys than before", self._issuer.name)
            self._changed()


def _unknown_key(issuer: IssuerSettings) -> HubError:
    return HubError("token_signature", f"The token names a key that its issuer {issuer.name!r} does not have.")
