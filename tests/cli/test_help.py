"""Every command and every option says what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import typer.main

from hub.cli import app

from .conftest import Run


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    def walk(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
        yield path, command
        for name, child in getattr(command, "commands", {}).items():
            yield from walk((*path, name), child)

    return walk((), typer.main.get_command(app))


ALL = list(commands())


def test_these_are_the_commands() -> None:
    leaves = {" ".join(path) for path, command in ALL if not hasattr(command, "commands")}
    assert leaves == {
        "serve", "token explain", "token revoke", "publish", "listen", "bench", "migrate",
        "user add", "user passwd", "user grant", "user disable", "user enable", "user list",
        "service add", "service grant", "service disable", "service enable",
        "service list", "service key create", "service key list", "service key rotate", "service key revoke",
        "keys list", "keys rotate", "keys retire", "audit list", "audit export", "audit verify",
        "backup", "restore", "doctor",
    }  # fmt: skip


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) or "hub" for path, _ in ALL])
def test_everything_is_explained(path: tuple[str, ...], command: Any, run: Run) -> None:
    assert command.help
    for parameter in command.params:
        assert parameter.help, f"{' '.join(path)}: {parameter.name} has no help"
        assert parameter.help.rstrip().endswith("."), f"{' '.join(path)}: {parameter.name}: a sentence, please"
    shown = run(*path, "--help")
    assert shown.code == 0
    assert "Usage:" in shown.out
    for parameter in command.params:
        assert all(option in shown.out for option in parameter.opts if option.startswith("--"))


def test_the_version(run: Run) -> None:
    assert run("--version").out == version("notification-hub") + "\n"


def test_what_is_no_command_is_an_error_of_usage(run: Run) -> None:
    for arguments in (["serv"], ["user", "add"], ["user", "list", "--jsn"], ["listen", "--count", "0"]):
        assert run(*arguments).code == 2
