"""Commands run in this process, and a real hub in another one for those that talk to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub import cli
from tests.hub_process import HubProcess, clean_environment


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]

PASSWORD = "correct horse"
"""Of the users whom ``secret`` makes."""


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


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One for all tests of a module."""
    hub = HubProcess(tmp_path_factory.mktemp("hub"))
    try:
        yield hub.start()
    finally:
        hub.close()


def client_of(hub: HubProcess, **variables: str) -> dict[str, str]:
    """The environment of a command that talks to the hub."""
    return clean_environment() | {"HUB_URL": hub.url, "HUB_DATA_DIR": str(hub.data_dir)} | variables


def command(*arguments: str) -> list[str]:
    """The command line of a command in a process of its own."""
    return [sys.executable, "-m", "hub", *arguments]


@pytest.fixture(scope="module")
def secret(hub: HubProcess) -> str:
    """Of the service ``shop``; and there are the users alice and bob."""
    for name in ("alice", "bob"):
        subprocess.run(
            command("user", "add", name, "--subscribe", "news", "--publish", "news", "--password-stdin"),
            input=PASSWORD + "\n", text=True, env=client_of(hub), check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    made = subprocess.run(
        command("service", "add", "shop"), text=True, env=client_of(hub), check=True, capture_output=True
    )
    return made.stdout.strip()


@pytest.fixture
def as_shop(hub: HubProcess, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_URL", hub.url)
    monkeypatch.setenv("HUB_SERVICE_ID", "shop")
    monkeypatch.setenv("HUB_SERVICE_SECRET", secret)
