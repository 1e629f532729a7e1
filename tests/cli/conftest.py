"""Commands run in this process, and a real hub in another one for those that talk to it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub import cli


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _no_hub_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("HUB_"):
            monkeypatch.delenv(name)


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    monkeypatch.setenv("HUB_DATA_DIR", str(path))
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process; stdin is no terminal."""

    def run(*arguments: str) -> Outcome:
        code = cli.main(list(arguments))
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return run


@dataclass(frozen=True)
class RunningHub:
    """A hub in a process of its own."""

    url: str
    data_dir: Path
    admin_password: str
    process: subprocess.Popen[str]

    def command(self, *arguments: str) -> list[str]:
        """The command line of a client of it."""
        return [sys.executable, "-m", "hub", *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of such a client."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
        return kept | {"HUB_URL": self.url, "HUB_DATA_DIR": str(self.data_dir), "PYTHONUNBUFFERED": "1"} | more


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """One for all tests of a module."""
    directory = tmp_path_factory.mktemp("hub") / "data"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "hub", "serve", "--port", "0", "--data-dir", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=kept | {"HUB_ADMIN_PASSWORD": "correct horse"},
        cwd=directory.parent,
    )
    assert process.stdout is not None
    try:
        lines = iter(process.stdout.readline, "")
        found = next(match for line in lines if (match := re.search(r"http://127\.0\.0\.1:\d+", line)))
        yield RunningHub(found[0], directory, "correct horse", process)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()
