"""The machine: its clock, disk, memory and limits. Knows settings; everything blocks, for some seconds at most."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hub.data_directory import LOG
from hub.doctor.finding import Finding, fail, ok, warn
from hub.settings import Settings

_UNSYNCHRONISED = 0x40  # STA_UNSYNC of adjtimex(2).
_SYNCS = 20
_SLOW_SYNC, _BAD_SYNC = 0.02, 0.2
"""Seconds: a publisher waits for one of them at least, and all who publish meanwhile share the next."""
_LITTLE_SPACE = 256 << 20
_CONNECTION_BYTES = 16 * 1024
"""Of one connection with a little traffic; an idle one takes about 3 KB."""
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.s3fs", "ceph", "glusterfs"}


def clock(newest: float | None) -> Finding:
    """``newest``: when the newest event was written (Unix seconds), if there is one."""
    behind = 0.0 if newest is None else newest - time.time()
    if behind > 60:
        return fail(
            "clock",
            f"the newest event is from {behind:.0f} s in the future: the clock was set back",
            "set the clock and keep it set (chrony or systemd-timesyncd): tokens and retention go by it",
        )
    if _synchronised() is False:
        return warn(
            "clock",
            "the kernel says that nothing keeps the clock set",
            "run chrony or systemd-timesyncd: tokens of other machines are judged by this clock",
        )
    return ok("clock", "is kept set" if _synchronised() else "no event is from the future")


def space(settings: Settings) -> Finding:
    """Room for what retention keeps."""
    place = _existing(settings.data_dir)
    free = shutil.disk_usage(place).free
    log = settings.data_dir / LOG
    # The index, the publishers' ids and what SQLite leaves free come on top of the events.
    wanted = 2 * settings.retention_bytes - (log.stat().st_size if log.exists() else 0)
    if free < _LITTLE_SPACE:
        return fail("disk space", f"{free >> 20} MiB free at {place}", "make room: a hub without any takes no events")
    if settings.engine == "embedded" and free < wanted:
        return warn(
            "disk space",
            f"{free >> 20} MiB free at {place}, and the log may grow by {wanted >> 20} MiB",
            "make room, or keep less (HUB_RETENTION_BYTES)",
        )
    return ok("disk space", f"{free >> 20} MiB free at {place}")


def sync_speed(settings: Settings) -> Finding:
    """How long a commit waits for the disk."""
    times = []
    try:
        with tempfile.TemporaryFile(dir=_existing(settings.data_dir)) as file:
            for _ in range(_SYNCS):
                file.write(os.urandom(4096))
                file.flush()
                begun = time.perf_counter()
                os.fsync(file.fileno())
                times.append(time.perf_counter() - begun)
    except OSError as error:
        return fail(
            "disk speed", f"{_existing(settings.data_dir)} cannot be written: {error.strerror}", "mend its permissions"
        )
    times.sort()
    median, worst = times[_SYNCS // 2], times[-1]
    said = f"an fsync takes {median * 1000:.1f} ms, at worst {worst * 1000:.1f} ms"
    cure = "put HUB_DATA_DIR on an SSD of this machine: every acknowledged event has waited for one"
    if median > _BAD_SYNC:
        return fail("disk speed", said, cure)
    return warn("disk speed", said, cure) if median > _SLOW_SYNC else ok("disk speed", said)


def file_system(settings: Settings) -> Finding:
    """Whether what is written there stays, and can be shared by the hub and its commands."""
    kind = _file_system(_existing(settings.data_dir).resolve())
    if kind in ("tmpfs", "ramfs"):
        return warn(
            "file system", f"{settings.data_dir} is on {kind}: memory", "what is there is gone with the machine's power"
        )
    if kind in _REMOTE:
        return warn(
            "file system",
            f"{settings.data_dir} is on {kind}: SQLite's locks and shared memory are not safe on it",
            "put HUB_DATA_DIR on a disk of this machine, or run on NATS and PostgreSQL",
        )
    return ok("file system", kind or "not known")


def file_limit(settings: Settings) -> Finding:
    """Descriptors for the connections. The hub raises its soft limit to the hard one by itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= settings.max_connections + 200:
        return ok("file limit", f"{hard} files, for {settings.max_connections} connections (HUB_MAX_CONNECTIONS)")
    return warn(
        "file limit",
        f"{hard} files, and HUB_MAX_CONNECTIONS is {settings.max_connections}: more are not taken",
        "raise LimitNOFILE (systemd), --ulimit nofile (Docker) or ulimit -Hn; or lower HUB_MAX_CONNECTIONS",
    )


def memory(settings: Settings) -> Finding:
    """Room for what the settings let the hub hold."""
    have = _memory()
    if have is None:
        return ok("memory", "not known")
    idle = settings.recent_bytes + settings.max_connections * _CONNECTION_BYTES + (128 << 20)
    if idle > have:
        return warn(
            "memory",
            f"{have >> 20} MiB, and {settings.max_connections} connections may take {idle >> 20} MiB",
            "give it more, or lower HUB_MAX_CONNECTIONS and HUB_RECENT_BYTES",
        )
    return ok("memory", f"{have >> 20} MiB")


def event_loop() -> Finding:
    """Whether the fast one is there."""
    try:
        said = f"uvloop {version('uvloop')}, Python {sys.version.split()[0]}"
    except PackageNotFoundError:
        return warn("event loop", "asyncio's own, which is slower", "pip install uvloop")
    return ok("event loop", said)


def examine(settings: Settings, newest: float | None) -> Iterator[Finding]:
    """All of these."""
    yield clock(newest)
    yield space(settings)
    yield sync_speed(settings)
    yield file_system(settings)
    yield file_limit(settings)
    yield memory(settings)
    yield event_loop()


def _existing(path: Path) -> Path:
    """The directory, or what it will be made in."""
    while not path.is_dir() and path != path.parent:
        path = path.absolute().parent
    return path


def _synchronised() -> bool | None:
    """What the kernel says; None if it does not."""
    if not sys.platform.startswith("linux"):
        return None
    buffer = ctypes.create_string_buffer(256)  # struct timex, with modes = 0: only read.
    try:
        state: int = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    offset = 40 if ctypes.sizeof(ctypes.c_long) == 8 else 20  # Of status: after modes and four longs.
    return not int.from_bytes(buffer.raw[offset : offset + 4], sys.byteorder) & _UNSYNCHRONISED


def _file_system(path: Path) -> str | None:
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return None
    # The longest mount point that the path is under; of the same one, the one mounted last.
    found = [(len(point), kind) for point, kind in mounts if path.is_relative_to(point.replace("\\040", " "))]
    return max(enumerate(found), key=lambda each: (each[1][0], each[0]))[1][1] if found else None


def _memory() -> int | None:
    """Bytes: of the machine, or of the container."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return whole
    return min(whole, int(limit)) if limit.isdigit() else whole
