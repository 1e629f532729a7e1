"""What a benchmark ran on: the machine, the versions, the code. For the header of the results."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.base import Missing, executable

_ROOT = Path(__file__).parent.parent


def facts() -> dict[str, Any]:
    """Names and values, in the order in which they are to be read."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "CPU": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "open files": f"at most {soft:,} a process",
        "code": _code(),
        "Python": f"{platform.python_version()} with "
        + ", ".join(
            f"{name} {importlib.metadata.version(name)}"
            for name in ("uvloop", "httptools", "uvicorn", "fastapi", "websockets")
        ),
        "peers": ", ".join(_peers()),
    }


def load_average() -> float:
    """Runnable processes over the last minute."""
    return os.getloadavg()[0]


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _code() -> str:
    try:
        commit = _output("git", "-C", str(_ROOT), "rev-parse", "--short=12", "HEAD")
        changed = _output("git", "-C", str(_ROOT), "status", "--porcelain", "--", "hub")
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"
    return commit + (" with uncommitted changes in hub/" if changed else "")


def _peers() -> list[str]:
    found = [f"python-socketio {importlib.metadata.version('python-socketio')}"]
    for name, *arguments in (("nginx", "-v"), ("nats-server", "--version"), ("node", "--version")):
        try:
            text = _output(executable(name, ""), *arguments)
        except (Missing, OSError, subprocess.CalledProcessError):
            continue
        version = re.search(r"\d+\.\d+\.\d+", text)
        found.append(f"{name} {version[0] if version else '?'}")
    for name in ("ws", "socket.io"):
        package = Path(__file__).parent / "node_modules" / name / "package.json"
        if package.exists():
            version = re.search(r'"version": *"([^"]+)"', package.read_text())
            found.append(f"{name} {version[1] if version else '?'}")
    return found


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return (done.stdout + done.stderr).strip()


if sys.platform != "linux":
    raise SystemExit("The benchmark reads /proc and uses epoll: it runs on Linux only.")
