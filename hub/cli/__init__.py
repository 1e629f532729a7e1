"""The ``hub`` command: serve a hub, administer who may use it, publish, listen and measure from a terminal.

Output that a script wants is alone on stdout; words for people go to stderr. What goes wrong is one sentence that says
what to do, and an exit code: 1 it failed, 2 it was called or set up wrongly, 130 Ctrl-C.

Commands import what they need when they run, so that ``hub --help`` and ``hub publish`` do not load a web server.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from hub.cli import audit, backup, bench, doctor, keys, listen, migrate, publish, serve, services, token, users
from hub.cli.output import Failure
from hub.errors import HubError
from hub.settings import SettingsError

app = typer.Typer(
    name="hub",
    help="A self-hosted, real-time notification hub.",
    no_args_is_help=True,
    # Errors that are foreseen are one sentence (see main); for the others, a plain traceback is what a report needs.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.add_typer(users.app, name="user")
app.add_typer(services.app, name="service")
app.add_typer(keys.app, name="keys")
app.add_typer(audit.app, name="audit")
app.add_typer(token.app, name="token")
app.command("publish")(publish.publish)
app.command("listen")(listen.listen)
app.command("migrate")(migrate.migrate)
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(version("notification-hub"))
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the arguments (by default the process's own) name; returns the exit code."""
    try:
        app(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Failure as failure:
        return failure.show()
    except SettingsError as error:
        return Failure(str(error), exit_code=2).show()
    except HubError as error:
        return Failure(error.detail).show()
    return 0
