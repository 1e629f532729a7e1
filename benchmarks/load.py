"""The load generator: one job in a process of its own, on its own core. ``python -m benchmarks.load`` is started by the
runner, reads the job as JSON from its standard input and writes what it measured as JSON to its standard output.

Its own share of CPU is part of every result, so that a reader sees where it, and not the server, was the limit.
"""

from __future__ import annotations

import gc
import json
import sys

from benchmarks import process
from benchmarks.crowd import ConnectionFailed
from benchmarks.hub_loads import HubLoad
from benchmarks.job import Job
from benchmarks.loads import Load
from benchmarks.publishers import PublishingFailed


def main() -> None:
    """Do the job on standard input."""
    process.pin(process.LOAD_CORE)
    job = Job(**json.load(sys.stdin))
    # Thousands of connections are made and none is garbage; a collection in a measurement would only be noise.
    gc.disable()
    try:
        result = (HubLoad if job.peer.startswith("hub") else Load)(job).run()
    except (ConnectionFailed, PublishingFailed, OSError) as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
