"""``hub token explain``: what a token or an API key may do, or why it is refused."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.connection import Url, call, find
from hub.cli.local import given_or_stdin, with_identity
from hub.cli.output import Failure, printable, result, result_json
from hub.cli.verdict import Accepted, Refused, said_by

if TYPE_CHECKING:
    from hub.identity.service import Identity

_SENDABLE = re.compile(r"[\x21-\x7e]{1,8000}")
"""What fits into a header; anything else no hub needs to be asked about."""
_NO_TOKENS = {
    "hubr_": "This is a refresh token: POST /v1/auth/refresh gives an access token for it.",
    "hubt_": "This is a ticket: it opens the stream, once, as ?ticket=. To ask about it would spend it.",
}


def explain(
    token: Annotated[
        str,
        typer.Argument(
            metavar="[TOKEN]",
            help="The token or API key, or - to read it from stdin, as others see what you type; else HUB_TOKEN.",
            show_default=False,
        ),
    ] = "",
    url: Url = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            help="Ask no hub: judge by this data directory, and by the settings here.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say in plain words what a token or an API key may do, or why it is refused and what to do about that.

    A running hub is asked. Nothing of the signature is shown. The exit code is 0 if it is accepted and 1 if not.
    """
    given = given_or_stdin(token or os.environ.get("HUB_TOKEN", ""))
    given = re.sub(r"^Bearer\s+", "", given, flags=re.IGNORECASE)
    verdict = _verdict(given, url, data_dir)
    if as_json:
        result_json(verdict.json())
    else:
        for line in verdict.lines(time.time()):
            result(printable(line))
    raise typer.Exit(0 if isinstance(verdict, Accepted) else 1)


def _verdict(token: str, url: str | None, data_dir: Path | None) -> Accepted | Refused:
    unasked = _refused_unasked(token)
    if unasked is not None:
        return unasked
    return _ask(find(url), token) if data_dir is None else _judge(data_dir, token)


def _refused_unasked(token: str) -> Refused | None:
    for prefix, words in _NO_TOKENS.items():
        if token.startswith(prefix):
            return Refused("token_type", words)
    if not _SENDABLE.fullmatch(token):
        return Refused("token_malformed", "It has characters, or a length, that no token has.")
    return None


def _ask(address: str, token: str) -> Accepted | Refused:
    """What the hub at this address says."""
    response = call(address, "GET", "/v1/me", headers={"Authorization": f"Bearer {token}"})
    try:
        answer = response.json()
    except ValueError:
        answer = None
    match answer:
        case {"subject": str(), "grants": dict(), "credential": str()}:
            return Accepted(answer)
        case {"code": str(code), "detail": str(detail)}:
            return Refused(code, detail, *said_by(token))
        case _:
            raise Failure(f"What answers at {address} is not a hub (HTTP {response.status_code}).")


def _judge(data_dir: Path, token: str) -> Accepted | Refused:
    """What a hub on this data directory, with the settings here, would say."""

    async def work(identity: Identity) -> Accepted | Refused:
        from hub.errors import HubError
        from hub.identity.schemas import MeBody
        from hub.transports.credentials import admit

        try:
            who = await admit(identity.authenticate, token)
        except HubError as refusal:
            return Refused(refusal.code, refusal.detail, *said_by(token))
        return Accepted(MeBody.of(who).model_dump())

    return with_identity(data_dir, work)
