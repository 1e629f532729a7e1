"""The connection to NATS: it comes back by itself, and every question is answered or refused within a stated time.

What goes wrong is ``log_unavailable`` with words for the person on call. Nothing is kept to be sent later: what cannot
be sent now is refused now, so that no publisher is told of a failure that turns into an event minutes afterwards. Knows
nats-py, and no stream.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from hub.errors import HubError

log = logging.getLogger("hub.engine")

_FIRST_CONNECT = 10.0
"""Seconds for which a hub that starts waits for a server."""
_RECONNECT_WAIT = 0.25
_PING_INTERVAL = 2
"""Seconds between pings; a server that leaves two of them unanswered is given up for another one."""
_PENDING_BYTES = 64 << 20
_PENDING_MESSAGES = 256 * 1024
"""What one subscription holds of what has come and was not looked at yet; more is dropped."""

Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class Access:
    """Where the servers are, and how to be let in; see ``HUB_NATS_…`` in ``hub.settings``."""

    servers: tuple[str, ...]
    token: str | None = None
    credentials: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def tls(self) -> ssl.SSLContext | None:
        """The context for TLS; None: unless the servers ask for it. Raises ``OSError`` if a file is no good."""
        if self.ca is None and self.certificate is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            files = ", ".join(str(path) for path in (self.ca, self.certificate, self.key) if path is not None)
            raise OSError(f"a file for TLS with NATS cannot be used ({files}): {error}") from error
        return context


class Refused(Exception):
    """JetStream's own refusal; ``code`` is its ``err_code``."""

    def __init__(self, code: int, words: str) -> None:
        self.code = code
        self.words = words
        super().__init__(f"{words} ({code})")


class Link:
    """One connection. ``on_return`` is called each time it is there again."""

    def __init__(self, access: Access, name: str, on_return: Callable[[], None]) -> None:
        self._access = access
        self._name = name
        self._on_return = on_return
        self._client = Client()
        self._inbox = ""
        self._tokens = itertools.count(1)
        self._waiting: dict[str, Callable[[Msg], None]] = {}
        self._closing = False

    @property
    def is_up(self) -> bool:
        """Whether something could be sent now."""
        return self._client.is_connected

    @property
    def max_payload(self) -> int:
        """Bytes of a message that the servers take, headers included."""
        return self._client.max_payload

    async def open(self) -> None:
        """Connect; raises ``OSError`` with a sentence for the person who starts the hub."""
        access = self._access
        servers = ", ".join(access.servers)
        context = access.tls()
        options: dict[str, Any] = {} if context is None else {"tls": context}
        if access.token is not None:
            options["token"] = access.token
        if access.credentials is not None:
            if not access.credentials.is_file():
                raise OSError(f"the NATS credentials file {access.credentials} is not there")
            options["user_credentials"] = str(access.credentials)
        try:
            async with asyncio.timeout(_FIRST_CONNECT):
                await self._client.connect(
                    list(access.servers),
                    name=self._name,
                    error_cb=self._failed,
                    disconnected_cb=self._lost,
                    reconnected_cb=self._returned,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=_RECONNECT_WAIT,  # type: ignore[arg-type]  # It sleeps for it.
                    connect_timeout=2,
                    ping_interval=_PING_INTERVAL,
                    no_echo=True,
                    pending_size=0,
                    **options,
                )
        except TimeoutError:
            await self._abandon()
            raise OSError(
                f"no NATS server answers at {servers} ({self._client.last_error or 'no answer'}); start one, or mend "
                "HUB_NATS_URL"
            ) from None
        except (errors.Error, ValueError) as error:
            await self._abandon()
            raise OSError(f"the NATS servers at {servers} do not let the hub in: {error}") from error
        self._inbox = self._client.new_inbox()
        await self.listen(f"{self._inbox}.*", self._answered)

    async def close(self) -> None:
        """Let go of the connection. Safe to call twice."""
        self._closing = True
        await self._abandon()

    async def _abandon(self) -> None:
        if not self._client.is_closed:
            await self._client.close()

    async def listen(self, subject: str, told: Callable[[Msg], None], *, held: int = _PENDING_MESSAGES) -> None:
        """Call ``told`` with every message of a subject, in their order. What it raises is logged.

        Of those that come faster than it takes them, ``held`` wait, and others are dropped.
        """

        async def take(message: Msg) -> None:
            try:
                told(message)
            except Exception:
                log.exception("a message on %s could not be dealt with", message.subject)

        await self._client.subscribe(subject, cb=take, pending_msgs_limit=held, pending_bytes_limit=_PENDING_BYTES)

    async def settle(self) -> None:
        """Wait until the servers have what was sent, subscriptions included. Raises ``log_unavailable``."""
        try:
            await self._client.flush(5)
        except (errors.Error, OSError, TimeoutError) as error:
            raise _unavailable(f"NATS does not answer ({error})") from error

    async def answers(self) -> bool:
        """Whether a server answers right now: a connection that was cut is noticed after seconds only."""
        try:
            await self._client.flush(1)
        except (errors.Error, OSError, TimeoutError):
            return False
        return True

    async def send(self, subject: str, payload: bytes, headers: Headers | None = None, reply: str = "") -> None:
        """Send a message, now or not at all. Raises ``log_unavailable``."""
        try:
            if not self._client.is_connected:
                raise errors.ConnectionReconnectingError
            await self._client.publish(subject, payload, reply, headers)
        except (errors.Error, OSError) as error:
            raise _unavailable("The hub has no connection to NATS") from error

    async def ask(self, subject: str, payload: bytes, *, timeout: float, headers: Headers | None = None) -> bytes:
        """Send a message and wait for its one answer. Raises ``log_unavailable``: also if nobody is there to answer
        (``nobody`` is set in its ``extra`` then), or it takes longer."""
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()

        def take(message: Msg) -> None:
            if not answer.done():
                answer.set_result(message)

        token = self._expect(take)
        try:
            async with asyncio.timeout(timeout):
                await self.send(subject, payload, headers, reply=f"{self._inbox}.{token}")
                message = await answer
        except TimeoutError:
            raise _unavailable(f"NATS did not answer within {timeout:g} s") from None
        finally:
            self._waiting.pop(token, None)
        if message.headers is not None and message.headers.get("Status") == "503":
            raise _unavailable("No NATS server has the stream now", nobody=True)
        return message.data

    async def collect(self, subject: str, payload: bytes, *, timeout: float) -> tuple[list[Msg], Headers]:
        """Send a message and wait for all that it is answered with; the messages, and the headers of the one that ends
        them, which has a ``Status``. Raises ``log_unavailable``."""
        messages: list[Msg] = []
        end: asyncio.Future[Headers] = asyncio.get_running_loop().create_future()

        def take(message: Msg) -> None:
            if message.headers is not None and "Status" in message.headers:
                if not end.done():
                    end.set_result(message.headers)
            else:
                messages.append(message)

        token = self._expect(take)
        try:
            async with asyncio.timeout(timeout):
                await self.send(subject, payload, reply=f"{self._inbox}.{token}")
                headers = await end
        except TimeoutError:
            raise _unavailable(f"NATS did not answer within {timeout:g} s") from None
        finally:
            self._waiting.pop(token, None)
        if headers["Status"] == "503":
            raise _unavailable("No NATS server has the stream now", nobody=True)
        return messages, headers

    async def call(self, subject: str, body: dict[str, Any] | None = None, *, timeout: float = 5.0) -> dict[str, Any]:
        """Ask JetStream's API; raises ``Refused`` and ``log_unavailable``."""
        payload = b"" if body is None else json.dumps(body).encode()
        return read_answer(await self.ask(f"$JS.API.{subject}", payload, timeout=timeout))

    def _expect(self, take: Callable[[Msg], Any]) -> str:
        token = str(next(self._tokens))
        self._waiting[token] = take
        return token

    def _answered(self, message: Msg) -> None:
        take = self._waiting.get(message.subject[len(self._inbox) + 1 :])
        if take is not None:
            take(message)

    # --- What nats-py tells

    async def _failed(self, error: Exception) -> None:
        if isinstance(error, errors.SlowConsumerError):
            log.warning(
                "more comes from NATS than this node takes; it is read from the log instead (%s)", error.subject
            )
        elif not self._closing:
            log.debug("NATS: %r", error)

    async def _lost(self) -> None:
        if not self._closing:
            log.error("the connection to NATS is lost; publishers are told to come back")

    async def _returned(self) -> None:
        log.warning("the connection to NATS is there again (%s)", getattr(self._client.connected_url, "netloc", ""))
        self._on_return()


def read_answer(data: bytes) -> dict[str, Any]:
    """JetStream's answer; raises ``Refused``."""
    answer: dict[str, Any] = json.loads(data)
    error = answer.get("error")
    if error:
        raise Refused(error.get("err_code", 0), error.get("description", "no reason given"))
    return answer


def _unavailable(what: str, **extra: Any) -> HubError:
    return HubError("log_unavailable", f"{what}. Try again later.", **extra)
