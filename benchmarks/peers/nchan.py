"""nchan, a publish/subscribe module of nginx, in C: one worker, messages kept in memory only as long as they are sent.

It has no check of tokens of its own (``nchan_authorize_request`` asks a backend), so there is none.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.crowd import Door
from benchmarks.frames import post, upgrade
from benchmarks.peers.base import Missing, Peer, executable

_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
_CONFIGURATION = """
load_module {module};
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log error;
worker_rlimit_nofile {files};
events {{ worker_connections {files}; }}
http {{
    access_log off;
    client_body_temp_path {directory};
    proxy_temp_path {directory};
    fastcgi_temp_path {directory};
    uwsgi_temp_path {directory};
    scgi_temp_path {directory};
    keepalive_requests 100000000;
    keepalive_timeout 600;
    nchan_shared_memory_size 512M;
    nchan_message_buffer_length 1024;
    nchan_message_timeout 30s;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /publish {{ nchan_publisher http; nchan_channel_id all; }}
        location ~ ^/publish/(\\w+)$ {{ nchan_publisher http; nchan_channel_id $1; }}
        location ~ ^/ws/(\\w+)$ {{
            nchan_subscriber websocket; nchan_channel_id $1; nchan_subscriber_first_message newest;
        }}
        location = /ws {{ nchan_subscriber websocket; nchan_channel_id all; nchan_subscriber_first_message newest; }}
    }}
}}
"""


class Nchan(Peer):
    """Publishes by HTTP, which is all that nchan has for a backend."""

    name = "nchan"
    title = "nchan (nginx, C)"
    checks_tokens = False
    publishes_by = "http"
    batch = 1

    def command(self, directory: Path) -> list[str]:
        nginx = executable("nginx", "nginx is not installed (Debian: apt install nginx libnginx-mod-nchan)")
        if not _MODULE.exists():
            raise Missing("nginx has no nchan module (Debian: apt install libnginx-mod-nchan)")
        configuration = directory / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(module=_MODULE, directory=directory, port=self.port, files=20000)
        )
        return [nginx, "-p", str(directory), "-c", str(configuration)]

    def door(self, number: int) -> Door:
        return Door(upgrade("/ws"), b"", b"")

    def personal_door(self, number: int) -> Door:
        # One channel each way: following several at once costs nchan more.
        return Door(upgrade(f"/ws/u{number}"), b"", b"")

    def broadcast(self, payloads: list[bytes]) -> bytes:
        return post("/publish", payloads[0])

    def unicast(self, users: list[int], payloads: list[bytes]) -> bytes:
        return post(f"/publish/u{users[0]}", payloads[0])
