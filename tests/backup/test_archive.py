"""The archive: private, whole or refused, whatever was done to it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.backup import archive
from hub.backup.manifest import BackupError, LogPlace, Manifest, Part

CONTENT = {"identity.db": b"people" * 400, "signing.key": b"a key", "log.db": os.urandom(3000)}


def quiet(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total, what


def manifest_of(content: dict[str, bytes]) -> Manifest:
    parts = tuple(
        Part(name, len(data), 0o640, hashlib.sha256(data).hexdigest()) for name, data in content.items()
    )  # fmt: skip
    return Manifest(1_000_000.0, "1.2.3", LogPlace("e", 3, 7), parts)


def written(directory: Path, name: str = "hub.tar") -> Path:
    parts = directory / "parts"
    parts.mkdir(parents=True)
    for part, data in CONTENT.items():
        (parts / part).write_bytes(data)
    archive.write(directory / name, manifest_of(CONTENT), parts, quiet)
    return directory / name


@pytest.mark.parametrize("name", ["hub.tar", "hub.tar.gz", "hub.tgz"])
def test_what_goes_in_comes_out(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name)
    target = tmp_path / "out"
    target.mkdir()
    assert archive.extract(path, target, quiet) == archive.read_manifest(path) == manifest_of(CONTENT)
    assert {file.name: file.read_bytes() for file in target.iterdir()} == CONTENT
    # By whatever else reads tar, too.
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["manifest.json", *CONTENT]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([name, "out", "parts"])


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = written(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_older_backup_is_not_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path)
    old = path.read_bytes()
    with pytest.raises(BackupError, match=r"There is a file .*hub\.tar already"):
        archive.write(path, manifest_of(CONTENT), tmp_path / "parts", quiet)
    assert path.read_bytes() == old
    assert sorted(file.name for file in tmp_path.iterdir()) == ["hub.tar", "parts"]


@pytest.mark.parametrize("name", ["hub.tar", "hub.tar.gz"])
@given(data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_archive_that_is_cut_short_is_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    path = written(tmp_path_factory.mktemp("cut"), name)
    whole = path.read_bytes()
    # The two empty blocks and the padding at a tar's end say nothing; gzip's end has its checksum.
    used = len(whole) if name.endswith("gz") else len(whole.rstrip(b"\0"))
    path.write_bytes(whole[: data.draw(st.integers(0, used - 1))])
    with pytest.raises(BackupError):
        archive.extract(path, None, quiet)


@pytest.mark.parametrize("name", ["hub.tar", "hub.tar.gz"])
@given(data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_bit_that_changed_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("flip")
    path = written(directory, name)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    target = directory / "out"
    target.mkdir()
    try:
        found = archive.extract(path, target, quiet)
    except BackupError:
        return
    # A bit that means nothing: padding, a header's owner. What comes out is what went in.
    assert found == manifest_of(CONTENT)
    assert {file.name: file.read_bytes() for file in target.iterdir()} == CONTENT


def rewritten(path: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> None:
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    change(members)
    with tarfile.open(path, "w") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def test_one_that_was_put_together_by_hand_is_refused(tmp_path: Path) -> None:
    def more(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members.append((tarfile.TarInfo("../../etc/cron.d/root"), b"* * * * * root true"))

    def other(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[2] = (tarfile.TarInfo("signing.key"), b"MY KEY")

    def elsewhere(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        said = json.loads(members[0][1])
        said["parts"][1]["name"] = "../signing.key"
        said.pop("sha256")
        text = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
        members[0] = (members[0][0], json.dumps(said | {"sha256": hashlib.sha256(text).hexdigest()}).encode())

    def a_link(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[2][0].type, members[2][0].linkname = tarfile.SYMTYPE, "/etc/shadow"

    def newer(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[0] = (members[0][0], members[0][1].replace(b'"format": 1', b'"format": 2'))

    for number, (change, why) in enumerate(
        (
            (more, "more than its manifest names"),
            (other, "is not the signing.key it names"),
            (elsewhere, "its manifest cannot be read"),
            (a_link, "is not the signing.key it names"),
            (newer, "made by a newer hub"),
            (list.clear, "damaged or cut short|does not begin with a manifest"),
        )
    ):
        path = written(tmp_path / str(number))
        rewritten(path, change)
        with pytest.raises(BackupError, match=why):
            archive.extract(path, None, quiet)


def test_what_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(BackupError, match="There is no file"):
        archive.read_manifest(path)
    for content in (b"", b"hello", b"\x1f\x8bhello", b"x" * 10_000):
        path.write_bytes(content)
        with pytest.raises(BackupError, match="is no backup of a hub"):
            archive.read_manifest(path)
