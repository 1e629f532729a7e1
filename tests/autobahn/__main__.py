"""Runs the fuzzing client against the echo server, prints what came of each case, and fails if one is not well.

``python -m tests.autobahn PYTHON [CASE …]``: the interpreter of an environment that has ``autobahntestsuite``
(a Python 2.7), and the cases instead of the usual ones. See https://github.com/crossbario/autobahn-testsuite.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.hub_process import free_port
from tests.transports.gauges import wait_until

from .results import judge

CASES = [
    *(f"{group}.*" for group in (1, 2, 3, 4, 5, 6, 7, 10)),
    # A sample of those that take long: messages of 64 KiB to 4 MiB, whole and in pieces, and many small ones.
    *("9.1.1", "9.1.3", "9.2.1", "9.2.3", "9.3.4", "9.4.4", "9.5.3", "9.6.3", "9.7.1", "9.8.1"),
    # Compression: each kind of message in small and large, and each kind of offer.
    *("12.1.1", "12.1.5", "12.1.10", "12.2.3", "12.3.3", "12.4.3", "12.5.3", "12.5.17"),
    *(f"13.{offer}.{size}" for offer in range(1, 8) for size in (1, 4)),
]
"""Not 8 (never written) and not 11 (reserved)."""


def main(python: str, cases: list[str]) -> int:
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "tests.autobahn.echo", str(port)])
    try:
        wait_until(lambda: _listens(port), 30)
        with tempfile.TemporaryDirectory() as temporary:
            directory = Path(temporary)
            spec = {
                "outdir": str(directory / "reports"),
                "servers": [{"agent": "hub", "url": f"ws://127.0.0.1:{port}/v1/ws"}],
                "cases": cases or CASES,
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
            (directory / "spec.json").write_text(json.dumps(spec))
            command = [
                str(Path(python).absolute()),
                "-m",
                "autobahntestsuite.wstest",
                "-m",
                "fuzzingclient",
                "-s",
                "spec.json",
            ]
            with (directory / "client.log").open("wb") as log:
                ended = subprocess.run(command, cwd=directory, stdout=log, stderr=log, timeout=1800)
            index = directory / "reports" / "index.json"
            if ended.returncode or not index.exists():
                print((directory / "client.log").read_text(errors="replace")[-3000:])
                return 1
            results = json.loads(index.read_text())["hub"]
    finally:
        server.terminate()
        server.wait(10)
    bad = judge(results)
    counts = Counter(result["behavior"] for result in results.values())
    print(", ".join(f"{count} {behavior}" for behavior, count in counts.most_common()))
    for case, why in bad:
        print(f"{case}: {why}")
    print(f"{len(results)} cases, {len(bad)} not well")
    return 1 if bad or not results else 0


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
