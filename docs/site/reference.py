"""Writes ``docs/reference/settings.md`` and ``cli.md`` from the code: ``make reference``. With ``--check`` it writes
nothing, and ends with 1 if one of them is not what the code says.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hub import issuer_settings, settings
from hub.cli import app
from hub.limits import Rate

TARGET = Path(__file__).parents[1] / "reference"
_NOTE = "<!-- Made from the code by `make reference`; a test sees to it that it is up to date. -->\n\n"
_UNITS = {
    "Seconds": ((86400, "d"), (3600, "h"), (60, "m")),
    "Bytes": ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")),
}
_BOUNDS = (
    ("ge", "at least"),
    ("gt", "more than"),
    ("le", "at most"),
    ("lt", "less than"),
    ("min_length", "at least one"),
)


def settings_page() -> str:
    """Every setting, with its default and what it means."""
    lines = [
        "# Settings\n",
        _NOTE
        + "Each is an environment variable (`HUB_PORT=8001`) or a line of `hub.toml` in the working directory, or "
        "of the file that `HUB_CONFIG` names (`port = 8001`). The environment wins. Times are seconds, or `90s`, "
        "`15m`, `12h`, `30d`; sizes are bytes, or `64KiB`, `512MiB`; rates are a number and a time (`10/15m`); lists "
        "have commas between (in `hub.toml` they are arrays). What is unknown or bad stops the start.\n",
        "| variable | default | what |",
        "|---|---|---|",
    ]
    lines += [f"| `HUB_{name.upper()}` | {default} | {words} |" for name, default, words in _fields(settings.Settings)]
    lines += [
        "\n## An issuer\n",
        "Of `[[issuers]]` in `hub.toml`, or of a JSON array in `HUB_ISSUERS`; see "
        "[other identity providers](../identity-providers.md).\n",
        "| member | default | what |",
        "|---|---|---|",
    ]
    lines += [f"| `{name}` | {default} | {words} |" for name, default, words in _fields(issuer_settings.IssuerSettings)]
    lines += [
        "\n## For those who talk to a hub\n",
        "`hub publish`, `hub listen`, `hub token` and `hub bench` take these; `hub serve` ignores them.\n",
        *(f"- `{name}`" for name in sorted(settings.CLIENT_VARIABLES - {"HUB_CONFIG"})),
    ]
    return "\n".join(lines) + "\n"


def cli_page() -> str:
    """Every command, with its arguments and options."""
    lines = [
        "# The command line\n",
        _NOTE
        + "Results are on stdout, words for people on stderr. Exit codes: 0 it is done, 1 it failed, 2 it was called "
        "or set up wrongly, 130 Ctrl-C.\n",
    ]
    for path, command in _commands(("hub",), typer.main.get_command(app)):
        lines += list(_command(path, command))
    return "\n".join(lines) + "\n"


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Name, default and words of each field. The words are the docstring below it."""
    words, sources = _docstrings(model)
    for name, field in model.model_fields.items():
        text = _cell(words[name])
        if bounds := _bounds(field):
            text += f" ({bounds})"
        yield name, _default(field, sources[name]), text


def _docstrings(model: type[BaseModel]) -> tuple[dict[str, str], dict[str, str]]:
    tree = ast.parse(inspect.getsource(model)).body[0]
    assert isinstance(tree, ast.ClassDef)
    words: dict[str, str] = {}
    annotations: dict[str, str] = {}
    name = ""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            annotations[name] = ast.unparse(node.annotation)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name:
            words.setdefault(name, str(node.value.value))
    return words, annotations


def _default(field: FieldInfo, annotation: str) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "needed"
    if value is None or value in ((), "", {}) or isinstance(value, BaseModel):
        return ""
    return f"`{_written(value, annotation)}`"


def _written(value: Any, annotation: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Rate):
        each = value.count
        shown = _round(each, "Bytes") if annotation == "BytesPerTime" else f"{each:g}"
        return f"{shown}/{_round(value.seconds, 'Seconds')}" if each else "0"
    if isinstance(value, tuple | list):
        return ",".join(re.sub(r"/(32|128)$", "", str(one)) for one in value)
    return _round(value, annotation) if annotation in _UNITS else str(value)


def _round(value: float, unit: str) -> str:
    for size, name in _UNITS[unit]:
        if value >= size and value % size == 0:
            return f"{value / size:g}{name}"
    return f"{value:g}"


def _bounds(field: FieldInfo) -> str:
    found = []
    for constraint in field.metadata:
        for name, words in _BOUNDS:
            bound = getattr(constraint, name, None)
            if bound is not None and not (name == "ge" and bound == 0):
                found.append("not empty" if name == "min_length" else f"{words} {bound}")
    return ", ".join(found)


def _commands(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands((*path, name), child)


def _command(path: tuple[str, ...], command: Any) -> Iterator[str]:
    yield f"\n{'#' * min(4, len(path) + 1)} {' '.join(path)}\n"
    yield f"{_prose(command.help or '')}\n"
    if hasattr(command, "commands"):
        return
    arguments = [_metavar(parameter) for parameter in command.params if not _is_option(parameter)]
    yield f"```\n{' '.join((*path, '[OPTIONS]', *arguments))}\n```\n"
    if command.params:
        yield "| | |"
        yield "|---|---|"
    for parameter in command.params:
        yield f"| {_named(parameter)} | {_cell(parameter.help or '')}{_preset(parameter)} |"


def _named(parameter: Any) -> str:
    if not _is_option(parameter):
        return f"`{_metavar(parameter)}`"
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return names if parameter.is_flag else f"{names} {_escape(parameter.metavar or 'VALUE')}"


def _is_option(parameter: Any) -> bool:
    return any(name.startswith("-") for name in parameter.opts)


def _metavar(argument: Any) -> str:
    name: str = (argument.metavar or argument.name.upper()).strip("[]")
    return name if argument.required else f"[{name}]"


def _preset(parameter: Any) -> str:
    preset = getattr(parameter, "default", None)
    if isinstance(preset, bool) or not isinstance(preset, str | int | float | Enum):
        return ""
    return f" Default: `{preset.value if isinstance(preset, Enum) else preset}`."


def _cell(text: str) -> str:
    return _escape(" ".join(_prose(text).split()))


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def _prose(text: str) -> str:
    """Docstrings' ``code`` as Markdown's; nothing that Markdown would take for something else."""
    return re.sub(r"``([^`]+)``", r"`\1`", inspect.cleandoc(text).replace("<", "&lt;"))


PAGES = {"settings.md": settings_page, "cli.md": cli_page}


def main(*, check: bool) -> int:
    """Write the pages, or look whether they are as they should be; the exit code."""
    stale = 0
    for name, make in PAGES.items():
        path, text = TARGET / name, make()
        if check:
            if not path.exists() or path.read_text() != text:
                print(f"docs/reference/{name} is not what the code says: run make reference", file=sys.stderr)
                stale = 1
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return stale


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
