"""Who is measured: the hub and the others, each a file that knows how to start one and how to speak to it."""

from __future__ import annotations

from benchmarks.peers.bare import Bare
from benchmarks.peers.base import Peer
from benchmarks.peers.hub import Hub, HubEd25519
from benchmarks.peers.naive import Naive
from benchmarks.peers.nats import Nats
from benchmarks.peers.nchan import Nchan
from benchmarks.peers.node_ws import NodeWs
from benchmarks.peers.python_socketio import PythonSocketIO
from benchmarks.peers.socketio import SocketIO

PEERS: dict[str, type[Peer]] = {
    peer.name: peer for peer in (Bare, Hub, HubEd25519, Naive, Nchan, Nats, NodeWs, SocketIO, PythonSocketIO)
}

__all__ = ["PEERS", "Peer"]
