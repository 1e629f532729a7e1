"""The archive: a tar file, gzipped if its name ends so, with the manifest first and then the parts in its order.

Whoever has the archive has everybody's events, password hashes and the key that signs: it is made readable by its owner
only, whatever the umask. It appears under its name once it is whole and on disk. Knows the manifest and the data
directory; everything blocks.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import secrets
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, cast

from hub import data_directory
from hub.backup.manifest import BackupError, Manifest, Part

_MANIFEST = "manifest.json"
_MOST_MANIFEST = 1 << 20
_PIECE = 1 << 20

Progress = Callable[[str, int, int], None]
"""Told now and then: what is done, how many bytes of it are, and how many there are."""


def write(path: Path, manifest: Manifest, parts: Path, progress: Progress) -> None:
    """Put the files of the directory ``parts`` into a new archive.

    Raises ``BackupError`` if there is a file of that name, ``OSError`` if it cannot be written: then nothing is left.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            with _compressing(path, file) as target, tarfile.open(fileobj=target, mode="w|") as tar:
                _add(tar, _MANIFEST, 0o600, manifest.made, io.BytesIO(manifest.encode()))
                done = 0
                for part in manifest.parts:
                    with (parts / part.name).open("rb") as source:
                        counted = _Counted(source, partial(_tell, progress, done, manifest.size))
                        _add(tar, part.name, part.mode, manifest.made, counted)
                    done += part.bytes
            file.flush()
            os.fsync(file.fileno())
        _publish(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_manifest(path: Path) -> Manifest:
    """What the archive says of itself; raises ``BackupError``."""
    with _opened(path) as tar:
        return _manifest(tar)


def extract(path: Path, target: Path | None, progress: Progress) -> Manifest:
    """Check every part against the manifest, and write them into the directory ``target``, if there is one.

    Raises ``BackupError`` if the archive is not whole, ``OSError`` if the parts cannot be written.
    """
    with _opened(path, whole=True) as tar:
        manifest = _manifest(tar)
        done = 0
        for part in manifest.parts:
            member = tar.next()
            if member is None:
                raise BackupError(f"The backup {path} is cut short: it has no {part.name}.")
            source = tar.extractfile(member) if member.isreg() else None
            if source is None or member.name != part.name or member.size != part.bytes:
                raise BackupError(
                    f"The backup {path} is damaged: {member.name[:60]!r} is not the {part.name} it names."
                )
            with _new_file(target, part) as file:
                found = hashlib.sha256()
                while piece := source.read(_PIECE):
                    found.update(piece)
                    file.write(piece)
                    done += len(piece)
                    progress("reading", done, manifest.size)
            if found.hexdigest() != part.sha256:
                raise BackupError(f"The backup {path} is damaged: {part.name} is not what was written.")
        if tar.next() is not None:
            raise BackupError(f"The backup {path} is damaged: it has more than its manifest names.")
    return manifest


def refuse_existing(path: Path) -> None:
    """Raises ``BackupError`` if there is something of that name: an older backup is not to be lost to a newer one."""
    if path.exists():
        raise BackupError(f"There is a file {path} already; name another, or remove it.")


def _publish(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)  # Unlike a rename it never replaces.
    except FileExistsError:
        refuse_existing(path)
    except OSError:  # A file system without links.
        refuse_existing(path)
        draft.rename(path)
    data_directory.sync(path.parent)


class _Counted(io.RawIOBase):
    """A file that tells how much of it was read."""

    def __init__(self, file: BinaryIO, tell: Callable[[int], None]) -> None:
        self._file = file
        self._tell = tell
        self._count = 0

    def read(self, size: int = -1, /) -> bytes:
        piece = self._file.read(size)
        self._count += len(piece)
        self._tell(self._count)
        return piece

    @property
    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size


def _tell(progress: Progress, before: int, total: int, count: int) -> None:
    progress("writing", before + count, total)


def _add(tar: tarfile.TarFile, name: str, mode: int, made: float, source: io.BytesIO | _Counted) -> None:
    member = tarfile.TarInfo(name)
    member.size = source.size if isinstance(source, _Counted) else len(source.getbuffer())
    member.mode, member.mtime = mode, int(made)
    tar.addfile(member, source)


@contextlib.contextmanager
def _compressing(path: Path, file: BinaryIO) -> Iterator[IO[bytes]]:
    if path.name.endswith((".gz", ".tgz")):
        # The fastest: events are text, and shrink to a fifth with it, too.
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, filename="", mtime=0) as packed:
            yield cast(IO[bytes], packed)
    else:
        yield file


@contextlib.contextmanager
def _opened(path: Path, *, whole: bool = False) -> Iterator[tarfile.TarFile]:
    """The archive, whatever its name says of its compression; what is wrong with it is a sentence.

    ``whole``: then it is read to its end, where gzip has its checksum.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            source = gzip.GzipFile(fileobj=file) if packed else file
            with tarfile.open(fileobj=source, mode="r|") as tar:
                yield tar
            while whole and source.read(_PIECE):
                pass
    except FileNotFoundError:
        raise BackupError(f"There is no file {path}.") from None
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BackupError(f"{path} is no backup of a hub, or it is damaged or cut short ({error}).") from None


def _manifest(tar: tarfile.TarFile) -> Manifest:
    member = tar.next()
    source = None if member is None or member.name != _MANIFEST else tar.extractfile(member)
    if source is None:
        raise BackupError("It is no backup of a hub: it does not begin with a manifest.")
    return Manifest.decode(source.read(_MOST_MANIFEST))


@contextlib.contextmanager
def _new_file(directory: Path | None, part: Part) -> Iterator[IO[bytes]]:
    if directory is None:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            yield nowhere
        return
    with open(os.open(directory / part.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
        yield file
        file.flush()
        os.fsync(file.fileno())
