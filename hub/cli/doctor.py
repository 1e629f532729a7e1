"""``hub doctor``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.local import AsJson
from hub.cli.output import printable, result_json, show_table, stdout, table
from hub.settings import SettingsError, load

if TYPE_CHECKING:
    from hub.doctor.finding import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    url: Annotated[
        str | None,
        typer.Option("--url", help="Where clients reach the hub, through its proxies: that is tried, too."),
    ] = None,
    as_json: AsJson = False,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="The hub's data directory (HUB_DATA_DIR; default ./data).")
    ] = None,
) -> None:
    """Look for what could keep a hub from running well here: each is ok, warn or fail, with what to do.

    It changes nothing, and may be run beside a hub. It ends with 1 if something fails, otherwise with 0.
    """
    findings = []
    for finding in _findings(url, {} if data_dir is None else {"data_dir": data_dir}):
        findings.append(finding)
        if as_json:
            result_json(asdict(finding))
    if not as_json:
        _show(findings)
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)


def _findings(url: str | None, overrides: dict[str, Any]) -> Iterator[Finding]:
    from hub.doctor import data, machine, network
    from hub.doctor.finding import fail, ok

    try:
        settings = load(**overrides)
    except SettingsError as error:
        yield fail("settings", str(error).rstrip("."), "mend it in the environment or in hub.toml")
    else:
        yield ok("settings", "every one is known and good")
        yield from data.examine(settings)
        yield from machine.examine(settings, data.newest(settings))
        yield network.port(settings)
        yield network.origins(settings)
        if settings.engine == "nats":
            yield asyncio.run(network.nats(settings))
    if url is not None:
        yield from network.reached(url)


def _show(findings: list[Finding]) -> None:
    made = table("", "CHECK", "FOUND")
    colours = stdout().is_terminal
    for finding in findings:
        state = f"[{_COLOURS[finding.state]}]{finding.state}[/]" if colours else finding.state
        cure = f"; {finding.cure}." if finding.cure else "."
        made.add_row(state, finding.check, printable(finding.said).replace("[", r"\[") + cure)
    show_table(made)
