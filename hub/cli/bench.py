"""``hub bench``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.bench_report import show
from hub.cli.connection import Url, call, find
from hub.cli.credentials import Arguments, Credentials, Password, Secret, Service, Token, Username
from hub.cli.output import Failure, result_json, stderr, warn
from hub.cli.token import fetch

if TYPE_CHECKING:
    from hub.bench.measure import Bench, Tell
    from hub.bench.options import Options
    from hub.bench.target import Target

_PATTERN = "bench:*"
_SPARE_FILES = 64
"""Files of a process besides its connections."""


def bench(
    hub: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="Address of the hub; the same as --url.", show_default=False)
    ] = None,
    connections: Annotated[
        int, typer.Option(min=1, max=25_000, metavar="N", help="Subscribers, all as who you are.")
    ] = 100,
    seconds: Annotated[float, typer.Option(min=0.5, max=60, help="Length of each of the ten or so measurements.")] = 3,
    rate: Annotated[
        float, typer.Option(min=1, max=1000, metavar="N", help="Events a second, where they come one at a time.")
    ] = 20,
    processes: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="Processes that share the subscribers.")
    ] = 1,
    flat_out: Annotated[
        bool,
        typer.Option(
            "--flat-out/--no-flat-out",
            help="Also measure what the hub can do at most; without it, those who use the hub notice little.",
        ),
    ] = True,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a large load on a hub elsewhere.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object.")] = False,
    url: Url = None,
    token: Token = None,
    username: Username = None,
    password: Password = None,
    service: Service = None,
    secret: Secret = None,
) -> None:
    """Measure a running hub, and whether each event arrives once and in order.

    It takes half a minute. Subscribers and publishers come as who you are, to topics of their own, bench:…, for which
    you need both rights. Nothing is left behind but durable events that expire within a minute. The figures hold for
    this machine and the network between, and it says where this machine was the limit.
    """
    from hub.bench.options import Options
    from hub.bench.target import BenchError, Target

    if processes > connections:
        raise Failure("There are more --processes than --connections to share.", exit_code=2)
    options = Options(connections, seconds, rate, processes, flat_out)
    address = find(hub or url)
    who = Credentials(username, password, service, secret, token).resolve()
    call(address, "GET", "/healthz")
    _allow_files(-(-connections // processes) + _SPARE_FILES)
    try:
        target = Target.resolve(address)
    except BenchError as error:
        raise Failure(str(error)) from None
    if options.is_large and not target.is_loopback and not yes:
        _ask(address, options)
    with _logged_in(address, who) as access:
        _check(address, access, options)
        _run(address, Target.resolve(address, access), options, as_json=as_json)


def _run(address: str, target: Target, options: Options, *, as_json: bool) -> None:
    from hub.bench import loop
    from hub.bench.measure import Bench
    from hub.bench.target import BenchError

    failed: BenchError | None = None
    with _progress() as tell:
        bench = Bench(target, options, url=address, tell=tell)
        try:
            loop.run(bench.run())
        except KeyboardInterrupt:
            bench.report.interrupted = True
        except BenchError as error:
            bench.report.failure = str(error)
            failed = error
    _show(bench, as_json=as_json)
    if failed is not None:
        raise Failure(f"{failed} What was measured before is above." if bench.report.measurements else str(failed))
    if bench.report.interrupted:
        raise typer.Exit(130)
    if not bench.report.good:
        raise typer.Exit(1)


def _show(bench: Bench, *, as_json: bool) -> None:
    if as_json:
        result_json(bench.report.as_json())
    elif bench.report.measurements:
        show(bench.report)


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar on stderr, at a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = stderr()
    columns = (
        BarColumn(30),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("Starting", total=1.0)
        yield lambda title, share: progress.update(bar, description=title, completed=share)


@contextmanager
def _logged_in(address: str, who: Arguments) -> Iterator[str]:
    """An access token. A session that was made for it is ended, too."""
    if "token" in who:
        yield who["token"]
        return
    access = fetch(address, who)
    try:
        yield access
    finally:
        if "username" in who:
            with suppress(Failure):
                call(address, "POST", "/v1/auth/logout", headers={"Authorization": f"Bearer {access}"})


def _check(address: str, access: str, options: Options) -> None:
    """Tell before anything is measured what would fail then."""
    response = call(address, "GET", "/v1/me", headers={"Authorization": f"Bearer {access}"})
    match _json(response):
        case {"admin": bool(admin), "grants": {"subscribe": list(subscribe), "publish": list(publish)}} as me:
            pass
        case {"code": code, "detail": detail}:
            raise Failure(f"{detail} ({code})")
        case _:
            raise Failure(f"What answers at {address} is not a hub (HTTP {response.status_code}).")
    from hub.bench.measure import topic_of
    from hub.policy import matches

    topic = topic_of("x", "x")
    wanting = [
        f"--{right} '{_PATTERN}'"
        for right, patterns in (("subscribe", subscribe), ("publish", publish))
        if not admin and not any(matches(pattern, topic) for pattern in patterns)
    ]
    if wanting:
        raise Failure(
            f"{me['kind']}:{me['subject']} may not use the topics {_PATTERN} (it lacks {' and '.join(wanting)}). "
            f"An administrator makes a service for it: hub service add bench --subscribe '{_PATTERN}' "
            f"--publish '{_PATTERN}'"
        )
    left = float(me.get("expires", 0)) - time.time()
    if left < options.duration + 10:
        raise Failure(
            f"The token ends in {max(0, left):.0f} seconds, before the bench does ({options.duration:.0f}); get a "
            "fresh one, or ask for fewer --seconds."
        )


def _json(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _ask(address: str, options: Options) -> None:
    """Before a load that others may notice."""
    flat_out = " and, for some seconds at a time, as many events as it takes" if options.flat_out else ""
    warn(
        f"{address} is not on this machine. It gets {options.connections:,} connections{flat_out}; whoever uses it now "
        "may notice. --no-flat-out with a few connections is gentle."
    )
    if not sys.stdin.isatty():
        raise Failure("There is nobody to ask whether to go on: add --yes or --no-flat-out.", exit_code=2)
    if not typer.confirm("Go on?", err=True):
        raise Failure("Nothing was measured.")


def _allow_files(wanted: int) -> None:
    """Raise this process's limit, which the bench's processes inherit. Raises ``Failure``."""
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Failure(
            f"A process may open {hard:,} files here, and the bench wants {wanted:,}; raise the limit (ulimit -n), or "
            "ask for fewer --connections or more --processes."
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
