"""``hub audit``: read, export and check the audit log of a data directory, while the hub runs and while it does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from hub import notation, tenancy
from hub.cli.local import AsJson, DataDir, settings_of, whoever_runs_this
from hub.cli.output import Failure, printable, result, result_json, say, show_table, table

if TYPE_CHECKING:
    from hub.database.store import Store
    from hub.identity.audit_log import AuditLog, Filter, Verdict
    from hub.settings import Settings

app = typer.Typer(help="Read and check the audit log.", no_args_is_help=True)

_POLL_SECONDS = 0.5

Since = Annotated[
    str | None,
    typer.Option(
        metavar="WHEN", help="Not before then: '2h', '7d', or a time such as 2026-01-31T12:00.", show_default=False
    ),
]
Until = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Before then; written like --since.", show_default=False)
]
ByActor = Annotated[
    str | None,
    typer.Option("--actor", help="Who did it: 'user:alice', 'service:shop', 'local:root'.", show_default=False),
]
OfAction = Annotated[
    str | None,
    typer.Option("--action", help="What was done: 'login', or 'user.*' for all that begin so.", show_default=False),
]
ToTarget = Annotated[
    str | None, typer.Option("--target", help="Whom it was done to, such as 'user:bob'.", show_default=False)
]
WithOutcome = Annotated[
    str | None, typer.Option("--outcome", help="'ok', or a code such as 'credentials_invalid'.", show_default=False)
]
OfTenant = Annotated[
    str | None,
    typer.Option("--tenant", help="Only what is about this tenant's own people.", show_default=False),
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines as they come, until Ctrl-C.")]


@app.command("list")
def list_lines(
    since: Since = None,
    until: Until = None,
    actor: ByActor = None,
    action: OfAction = None,
    target: ToTarget = None,
    outcome: WithOutcome = None,
    tenant: OfTenant = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many.")] = 50,
    follow: Follow = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show the newest lines, the oldest of them first."""
    wanted = _wanted(since, until, actor, action, target, outcome, tenant)

    async def work(log: AuditLog, store: Store) -> None:
        from hub.identity.audit import described

        await _tell("audit.read", log, wanted)
        entries, _ = await log.page(wanted, limit=limit)
        lines = [described(entry) for entry in entries]
        _show(lines, as_json=as_json)
        if follow:
            after = lines[-1]["seq"] if lines else 0
            await _go_on(log, store, wanted, after, lambda line: _show([line], as_json=as_json, header=False))

    _with_log(data_dir, work)


@app.command("export")
def export(
    since: Since = None,
    until: Until = None,
    actor: ByActor = None,
    action: OfAction = None,
    target: ToTarget = None,
    outcome: WithOutcome = None,
    tenant: OfTenant = None,
    follow: Follow = False,
    data_dir: DataDir = None,
) -> None:
    """Write lines as JSON, one object a line, the oldest first; without filters, all of them.

    An export of all lines can be checked anywhere: hub audit verify FILE. That it was made is in the log, too.
    """
    wanted = _wanted(since, until, actor, action, target, outcome, tenant)

    async def work(log: AuditLog, store: Store) -> None:
        await _tell("audit.export", log, wanted)
        after = 0
        async for line in log.lines(wanted):
            result_json(line)
            after = line["seq"]
        if follow:
            await _go_on(log, store, wanted, after, result_json)

    _with_log(data_dir, work)


@app.command("verify")
def verify(
    file: Annotated[
        Path | None,
        typer.Argument(help="An export of all lines; without it the log itself is checked.", show_default=False),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="SEQ:HASH",
            help="What an earlier check printed: the log must still hold that line.",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Check that no line was changed, taken out or put in; print the newest line's number and hash.

    Keep what it prints in another place, and give it to the next check with --expect: somebody who can write the
    database could make all lines anew, and only that would show it.
    """
    mark = None if expect is None else _mark(expect)
    verdict, found = _check_log(data_dir, mark) if file is None else _check_file(file, mark)
    if verdict.fault is not None:
        raise Failure(f"The audit log is not whole: {verdict.fault}. It is good up to line {verdict.seq}.")
    if not found:
        raise Failure(f"The audit log is not the one that was checked before: it has no line {expect}.")
    say(f"The audit log is whole: {verdict.lines} lines.")
    result(f"{verdict.seq}:{verdict.hash}")


# --- Reading


def _with_log(data_dir: Path | None, work: Callable[[AuditLog, Store], Any]) -> Any:
    async def run() -> Any:
        async with _opened(settings_of(data_dir)) as (log, store):
            return await work(log, store)

    # Ctrl-C is the usual way to end --follow.
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(run())


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[AuditLog, Store]]:
    from hub.database.store import Store
    from hub.identity.audit_log import AuditLog

    store = Store(settings)
    try:
        await store.open()
        yield AuditLog(store), store
    finally:
        await store.close()


async def _go_on(
    log: AuditLog, store: Store, wanted: Filter, after: int, show: Callable[[dict[str, Any]], None]
) -> None:
    while True:
        if await store.has_news():
            async for line in log.lines(wanted, after=after):
                show(line)
                after = line["seq"]
        await asyncio.sleep(_POLL_SECONDS)


async def _tell(action: str, log: AuditLog, wanted: Filter) -> None:
    """That somebody reads it stands in the log before they do."""
    from hub.identity.audit import Record

    filters = {name: value for name, value in asdict(wanted).items() if value is not None}
    await log.write(Record(whoever_runs_this(), action, details=filters))


def _show(lines: Iterable[dict[str, Any]], *, as_json: bool, header: bool = True) -> None:
    if as_json:
        for line in lines:
            result_json(line)
        return
    made = table("TIME", "ACTOR", "ADDRESS", "ACTION", "TARGET", "OUTCOME", "DETAILS")
    made.show_header = header
    for line in lines:
        details = json.dumps(line["details"], ensure_ascii=False) if line["details"] else ""
        columns = [line[name] for name in ("time", "actor", "address", "action", "target", "outcome")]
        # As text, in which brackets are only brackets.
        made.add_row(*(Text(printable(cell)) for cell in [*columns, details]))
    show_table(made)


# --- Checking


def _check_log(data_dir: Path | None, mark: tuple[int, str] | None) -> tuple[Verdict, bool]:
    async def work(log: AuditLog, _: Store) -> tuple[Verdict, bool]:
        verdict = await log.verify()
        return verdict, mark is None or await log.holds(*mark)

    checked: tuple[Verdict, bool] = _with_log(data_dir, work)
    return checked


def _check_file(file: Path, mark: tuple[int, str] | None) -> tuple[Verdict, bool]:
    from hub.identity.audit_log import Check

    check = Check(trusting=True)
    found = mark is None
    try:
        with file.open(encoding="utf-8") as lines:
            for text in lines:
                line = json.loads(text)
                if not check.take(line):
                    break
                found = found or (line["seq"], line["hash"]) == mark
    except (OSError, ValueError) as error:
        raise Failure(f"{file} cannot be read: {error}.") from None
    return check.verdict, found


def _mark(text: str) -> tuple[int, str]:
    seq, _, value = text.strip().partition(":")
    if not (seq.isascii() and seq.isdigit() and value):
        raise Failure(f"{text!r} is not what a check prints; that looks like 1234:5e88489…", exit_code=2)
    return int(seq), value


# --- Filters


def _wanted(
    since: str | None,
    until: str | None,
    actor: str | None,
    action: str | None,
    target: str | None,
    outcome: str | None,
    tenant: str | None,
) -> Filter:
    from hub.identity.audit_log import Filter

    whose = None if tenant is None else tenancy.check(tenant)
    return Filter(actor, action, target, outcome, _moment(since), _moment(until), whose)


def _moment(text: str | None) -> float | None:
    """Unix seconds of ``2h`` (so long ago) or of a date and time, local where no zone is given. Raises ``Failure``."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        pass
    try:
        return time.time() - float(notation.seconds(text))
    except ValueError:
        raise Failure(
            f"{text!r} is no time: write how long ago (30m, 2h, 7d), or a date and time such as 2026-01-31T12:00.",
            exit_code=2,
        ) from None
