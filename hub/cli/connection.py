"""Reaching a running hub: one call that tells at once if there is none, and the SDK's errors in a sentence."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.output import Failure, warn
from hub.settings import load_url, unknown_variables

if TYPE_CHECKING:
    import httpx

_TIMEOUT = 10.0
"""Seconds that the hub may take for an answer."""

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="HUB_URL",
        help="Address of the hub; by default, where HUB_HOST, HUB_PORT and hub.toml let one listen on this machine.",
        show_default=False,
    ),
]


def find(url: str | None) -> str:
    """The address of the hub: what was given, or where the settings let one listen on this machine.

    Warns of variables that look like a setting and are none, as ``hub serve`` would refuse them. Raises ``Failure`` and
    ``SettingsError``.
    """
    for complaint in unknown_variables(os.environ):
        warn(complaint)
    found = load_url() if url is None else url
    if found is None:
        raise Failure(
            "By its settings the hub takes a free port (port 0); name its address with --url or HUB_URL.", exit_code=2
        )
    return found


def call(url: str, method: str, path: str, **options: Any) -> httpx.Response:
    """Ask a hub once, and return what it answers. Raises ``Failure`` if nothing answers there.

    The commands that hand over to ``hub_client`` call first, too: that would try again for a while, whereas a person at
    a terminal wants to know at once.
    """
    import httpx

    try:
        address = httpx.URL(url)
        # A hub on this machine is not behind the environment's proxy.
        behind_proxy = address.host not in ("127.0.0.1", "::1", "localhost")
        with httpx.Client(trust_env=behind_proxy, timeout=_TIMEOUT) as client:
            return client.request(method, address.copy_with(path=address.path.rstrip("/") + path), **options)
    except httpx.ConnectError as error:
        cure = "start one with hub serve, or name another address with --url or HUB_URL"
        raise Failure(f"No hub answers at {url} ({error}); {cure}.") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise Failure(f"{url} is not the address of a hub; it looks like http://127.0.0.1:8000.", exit_code=2) from None
    except httpx.TransportError as error:
        why = str(error).rstrip(".") or type(error).__name__
        raise Failure(f"The hub at {url} cannot be reached: {why}.") from None


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn what ``hub_client`` raises into a ``Failure``."""
    import hub_client

    try:
        yield
    except hub_client.HubClientError as error:
        code, detail = getattr(error, "code", None), getattr(error, "detail", str(error))
        raise Failure(f"{detail} ({code})" if code else detail) from None
    except ValueError as error:
        raise Failure(f"{str(error).rstrip('.')}.", exit_code=2) from None
