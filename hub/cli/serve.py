"""``hub serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.output import Failure
from hub.settings import load


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (HUB_HOST; default 127.0.0.1).")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on, 0 for a free one (HUB_PORT; default 8000).")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where everything is kept (HUB_DATA_DIR; default ./data).", show_default=False)
    ] = None,
) -> None:
    """Run a hub until Ctrl-C or SIGTERM.

    Settings come from HUB_… variables and from hub.toml; these options win over both.
    """
    options: dict[str, Any] = {"host": host, "port": port, "data_dir": data_dir}
    settings = load(**{name: value for name, value in options.items() if value is not None})
    from hub.data_directory import StartError
    from hub.server import run

    try:
        code = run(settings)
    except StartError as error:
        raise Failure(str(error)) from None
    raise typer.Exit(code)
