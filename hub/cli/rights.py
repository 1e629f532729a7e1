"""Changing what an account may do: what is given replaces what it had, the rest is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.local import with_accounts
from hub.cli.output import Failure
from hub.model import Grants

if TYPE_CHECKING:
    from hub.identity.accounts import Accounts
    from hub.identity.models import Kind

NoSubscribe = Annotated[bool, typer.Option("--no-subscribe", help="No topics may be read but one's own.")]
NoPublish = Annotated[bool, typer.Option("--no-publish", help="No topics may be published to.")]
NoTopics = Annotated[bool, typer.Option("--no-topic", help="No topic is subscribed to without asking but one's own.")]


@dataclass(frozen=True, slots=True)
class Rights:
    """New rights; None where they stay as they are."""

    subscribe: tuple[str, ...] | None
    publish: tuple[str, ...] | None
    topics: tuple[str, ...] | None
    admin: bool | None = None

    def give(self, kind: Kind, name: str, data_dir: Path | None, *, tenant: str) -> bool:
        """Change the account; whether there was something to change. Raises ``Failure`` and ``HubError``."""
        if (self.subscribe, self.publish, self.topics, self.admin) == (None, None, None, None):
            options = "--subscribe, --publish, --topic, --no-subscribe, --no-publish, --no-topic, --admin, --no-admin"
            raise Failure(f"Say what is to change: {options}.", exit_code=2)

        async def work(accounts: Accounts) -> bool:
            from hub.identity.accounts import Update

            before = await accounts.get(kind, name)
            grants = Grants(
                tuple(before.subscribe) if self.subscribe is None else self.subscribe,
                tuple(before.publish) if self.publish is None else self.publish,
            )
            after = await accounts.update(kind, name, Update(admin=self.admin, grants=grants, topics=self.topics))
            return after.version != before.version

        return with_accounts(data_dir, work, tenant=tenant)


def chosen(option: str, given: list[str] | None, none: bool) -> tuple[str, ...] | None:
    """What ``--option X`` and ``--no-option`` say together: these, none, or (None) as it was. Raises ``Failure``."""
    if given and none:
        raise Failure(f"Give --{option} or --no-{option}, not both.", exit_code=2)
    return tuple(given) if given else () if none else None
