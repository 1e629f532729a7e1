"""python-socketio on uvicorn, over WebSocket only."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers.socketio import SocketIO


class PythonSocketIO(SocketIO):
    """See ``python_socketio_app``; it speaks as Socket.IO does."""

    name = "python_socketio"
    title = "python-socketio"

    def command(self, directory: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "uvicorn", "benchmarks.peers.python_socketio_app:app"),
            *("--port", str(self.port), "--log-level", "warning", "--no-access-log"),
        ]
