"""``hub keys``: list, rotate and retire the keys that sign the tokens of a data directory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from hub.cli.local import AsJson, DataDir, whoever_runs_this, with_store
from hub.cli.output import Failure, result, result_json, say, show_table, table
from hub.model import timestamp

if TYPE_CHECKING:
    from hub.database.store import Store
    from hub.identity.signing import KeyInfo, SigningKeys
    from hub.settings import Settings

_T = TypeVar("_T")

app = typer.Typer(help="Administer the keys that sign the hub's tokens.", no_args_is_help=True)


class Algorithm(Enum):
    """What a key can be made for."""

    EDDSA = "EdDSA"
    ES256 = "ES256"
    RS256 = "RS256"


@app.command("list")
def list_keys(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the keys: the one that signs, those that are still accepted, and those that were."""
    keys = _with_keys(data_dir, lambda keys: keys.all())
    if as_json:
        for key in keys:
            result_json(
                {
                    "id": key.id,
                    "algorithm": key.algorithm,
                    "state": key.state,
                    "origin": key.origin,
                    "created": key.created_at,
                    "accepted_until": key.accepted_until,
                    "retired": key.retired_at,
                }
            )
        return
    made = table("KEY", "ALGORITHM", "STATE", "MADE", "FROM")
    for key in keys:
        created = "" if key.created_at is None else timestamp(key.created_at)
        made.add_row(key.id, key.algorithm, _state(key), created, key.origin)
    show_table(made)


@app.command("rotate")
def rotate(
    algorithm: Annotated[
        Algorithm | None,
        typer.Option(help="What the new key signs with; by default what the present one does.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Sign with a new key, and print its id.

    Nobody is logged out: the old private key is removed, and what it signed is accepted until it ends. A running hub
    signs with the new one within half a second (HUB_REVOCATION_POLL).
    """
    wanted = None if algorithm is None else algorithm.value
    key = _with_keys(data_dir, lambda keys: keys.rotate(wanted, actor=whoever_runs_this()))
    say("The hub signs with a new key; tokens of the old one are accepted until they end.")
    result(key.id)


@app.command("retire")
def retire(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The key's id (hub keys list).", show_default=False)],
    now: Annotated[bool, typer.Option("--now", help="Refuse its tokens at once; has to be said.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Trust a key no longer, because somebody else may have it; print the id of the one that signs.

    Every token that it signed is refused, and connections that came with one are closed: clients get a fresh token and
    come back. If it is the key that signs, a new one is made. It cannot be undone.
    """
    if not now:
        raise Failure(
            "Retiring a key ends all its tokens at once; say --now if you mean it (hub keys rotate replaces "
            "a key without ending anything).",
            exit_code=2,
        )
    key = _with_keys(data_dir, lambda keys: keys.retire(key_id, actor=whoever_runs_this()))
    say(f"Key {key_id} is retired: its tokens are refused, its connections closed.")
    result(key.id)


def _with_keys(data_dir: Path | None, work: Callable[[SigningKeys], Awaitable[_T]]) -> _T:
    async def run(settings: Settings, store: Store) -> _T:
        from hub.identity.signing import SigningKeys

        return await work(SigningKeys(settings, store))

    return with_store(data_dir, run)


def _state(key: KeyInfo) -> str:
    if key.state == "accepted" and key.accepted_until is not None:
        return f"accepted until {timestamp(key.accepted_until)}"
    if key.retired_at is not None:
        return f"retired {timestamp(key.retired_at)}"
    return key.state
