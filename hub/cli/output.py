"""How the commands speak: results to stdout, words and failures to stderr.

What comes from elsewhere (an event's type and data) is made printable first: nobody who publishes may move the cursor
or change the colours of a terminal that listens.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table


class Failure(Exception):
    """A command cannot go on. The message is one sentence that says what to do."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self) -> int:
        """Tell it; returns the exit code."""
        stderr().print(f"[bold red]Error:[/] {_escape(printable(str(self)))}", soft_wrap=True)
        return self.exit_code


def stdout() -> Console:
    """Where results go. Made when it is used, so that it is the process's stdout of that moment."""
    return Console(file=sys.stdout, highlight=False)


def stderr() -> Console:
    """Where words for people go."""
    return Console(file=sys.stderr, highlight=False)


def say(text: str) -> None:
    """Words for people, on stderr."""
    stderr().print(_escape(text), soft_wrap=True)


def warn(text: str) -> None:
    """What is probably a mistake, though the command goes on; one sentence, on stderr."""
    stderr().print(f"[bold yellow]Warning:[/] {_escape(printable(text))}", soft_wrap=True)


def result(text: str) -> None:
    """A result that a script may take, alone on a line of stdout, and at once."""
    print(text, flush=True)


def result_json(value: Any) -> None:
    """The same as one line of JSON."""
    result(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def table(*columns: str) -> Table:
    """An empty table in the house's style."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def show_table(made: Table) -> None:
    """Print a table. At a terminal it is folded to fit; a file or a pipe gets its lines whole, however long."""
    if stdout().is_terminal:
        stdout().print(made)
        return
    wide = Console(file=io.StringIO(), width=1_000_000, highlight=False)
    with wide.capture() as lines:
        wide.print(made)
    for line in lines.get().splitlines():
        result(line.rstrip())


def printable(text: str) -> str:
    """The text with everything that is not a visible character or a space written as an escape."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
