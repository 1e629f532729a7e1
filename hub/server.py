"""Serving a hub: one process, one data directory, one port; told in one sentence if that cannot be.

uvicorn closes all sockets at once when it stops; this server first drains the hub in batches.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import math
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from types import FrameType
from typing import Any

import uvicorn

from hub import data_directory, logs
from hub.app import Application
from hub.data_directory import StartError
from hub.drain import drain
from hub.errors import HubError
from hub.hub import Hub
from hub.notation import url_of
from hub.settings import Settings
from hub.transports.http_protocol import HubHttpProtocol

log = logging.getLogger("hub.server")

_SWITCH_INTERVAL = 0.0002
"""Seconds for which one thread may keep the interpreter from another. With Python's 5 ms, the thread that writes the
log waits longer for the interpreter after each commit than for the disk."""
_KERNEL_BUFFER = 64 * 1024
"""Bytes of one connection that the kernel takes before the network does."""


class HubServer(uvicorn.Server):
    """uvicorn, with a drain before the shutdown and an exit code of 0 after SIGTERM and Ctrl-C."""

    def __init__(self, config: uvicorn.Config, hub: Hub, connections: set[Any], drain_timeout: float) -> None:
        """``connections``: the set in which they are all to be."""
        super().__init__(config)
        self.server_state.connections = connections
        self._hub = hub
        self._drain_timeout = drain_timeout
        self.on_started: Callable[[], None] = lambda: None
        """Called once connections are taken."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        await super().startup(sockets)
        self.on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more, send the clients away in batches, then do what uvicorn does."""
        for server in self.servers:
            server.close()
        await drain(self._hub, self._drain_timeout, cut_short=lambda: self.force_exit)
        await super().shutdown(sockets)
        if self.server_state.tasks:  # It was cut short. A request whose connection ends, ends in order.
            for connection in list(self.server_state.connections):
                if isinstance(connection, HubHttpProtocol):
                    connection.abort()
            await asyncio.wait(self.server_state.tasks, timeout=1)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, the second cuts short. Not recorded, so that uvicorn does not raise it again."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def run(settings: Settings) -> int:
    """Serve until a signal comes; the process's exit code. Raises ``StartError``."""
    logs.configure(settings.log_level, settings.log_format)
    _raise_file_limit()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    with data_directory.held(settings.data_dir), _listening_socket(settings) as sock:
        try:
            application = Application(settings)
            config = uvicorn.Config(
                application.app,
                # WebSockets, too: it hands the connection over after the handshake.
                http=partial(HubHttpProtocol, direct=application.direct()),  # type: ignore[arg-type]
                ws="none",
                ws_ping_interval=settings.ping_interval,
                lifespan="off",
                proxy_headers=False,  # The app has its own, with the same proxies for both ways in.
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=math.ceil(settings.drain_timeout) + 1,
            )
            server = HubServer(config, application.hub, application.connections, settings.drain_timeout)
            with _signals_for(server), asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
                runner.run(_serve(application, server, sock))
        except (OSError, HubError) as error:
            raise StartError(f"The hub cannot start: {_reason(error)}.") from error
    return 0


async def _serve(application: Application, server: HubServer, sock: socket.socket) -> None:
    async with application.running():
        password = await application.identity.bootstrap()
        administrator = await _known_administrator(application)
        _calm_collector()
        server.on_started = partial(_greet, application, sock, password, administrator)
        await server.serve(sockets=[sock])
    log.info("stopped")


async def _known_administrator(application: Application) -> str | None:
    """The administrator whom the settings name, if it is one who can log in."""
    name = application.settings.admin_username
    try:
        account = await application.identity.accounts.get("user", name)
    except HubError:
        return None
    return name if account.admin and not account.disabled else None


@contextlib.contextmanager
def _signals_for(server: HubServer) -> Iterator[None]:
    """A signal ends the hub in order at any time: uvicorn listens to them only while it serves, not while we start."""
    before = {sig: signal.signal(sig, server.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


def _calm_collector() -> None:
    """Python's collector looks for cycles after every 700 new objects: a burst of events makes tens of thousands, none
    of them in a cycle, and each look would go over many of them. What is there by now stays and is never looked at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _raise_file_limit() -> None:
    """As many connections as the system lets us have: the usual soft limit (1,024) is for programs that use select."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS has a lower limit of its own.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _greet(application: Application, sock: socket.socket, password: str | None, administrator: str | None) -> None:
    """Say to the person who starts it how to log in, and to the log what was started."""
    settings, hub = application.settings, application.hub
    host, port = sock.getsockname()[:2]
    url, data_dir = url_of(host, port), settings.data_dir.resolve()
    lines = [f"Notification hub on {url}", f"  data        {data_dir}"]
    if password is not None:
        lines += [
            f"  log in as   {settings.admin_username}",
            f"  password    {password}   (shown this once; `hub user passwd {settings.admin_username}` sets another)",
        ]
    elif administrator is not None:
        lines += [f"  log in as   {administrator}   (`hub user passwd {administrator}` sets a new password)"]
    else:
        lines += ["  log in      as an administrator you made (`hub user passwd NAME` sets a new password)"]
    address = ipaddress.ip_address(host)
    if not address.is_loopback:
        where = "all interfaces" if address.is_unspecified else host
        lines += [f"  network     listens on {where} without TLS: put a proxy that speaks TLS in front of it"]
    lines += [f"  console     {url}/", f"  API         {url}/docs"]
    print("\n".join(lines), flush=True)
    log.info(
        "started %s on %s port %d, data in %s, log from %d to %d",
        version("notification-hub"), host, port, data_dir, hub.engine.floor, hub.engine.head,
    )  # fmt: skip


def _listening_socket(settings: Settings) -> socket.socket:
    """Bound here and not by uvicorn, so that a port in use is told in a sentence before anything else starts."""
    sock = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # Inherited by every connection. Otherwise the kernel takes megabytes for a reader who is slow: memory that
            # nobody counts, in which a slow reader cannot be told from one that is stuck.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _KERNEL_BUFFER)
        sock.bind((settings.host, settings.port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise StartError(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}): choose another port with "
            "HUB_PORT (or address with HUB_HOST), or end what uses it."
        ) from error
    return sock


def _reason(error: OSError | HubError) -> str:
    return (error.detail if isinstance(error, HubError) else str(error)).rstrip(".")
