"""How many connections a user and an address have, and whether one more may come. Plain dictionaries, no I/O, no tasks.

Every connection that was entered is left once, whoever its principal has become by then: a renewal changes neither the
user nor the address. What has no connection leaves nothing behind. Knows session, limits and errors.
"""

from __future__ import annotations

from collections.abc import Callable

from hub.errors import HubError
from hub.limits import network
from hub.model import Principal
from hub.session import Session


class Occupancy:
    """The connections of one hub, by user and by address. A bound of 0 is none, and then nothing is counted."""

    def __init__(self, per_user: int, per_address: int, is_proxy: Callable[[str], bool]) -> None:
        """``is_proxy``: addresses that may be anybody's, since others are behind them; they have no bound."""
        self._per_user = per_user
        self._per_address = per_address
        self._is_proxy = is_proxy
        self._users: dict[str, int] = {}
        self._places: dict[str, int] = {}

    def check(self, principal: Principal, address: str) -> None:
        """Raises ``too_many_connections`` if this one would be. Services and administrators have as many as they like
        (their address does not)."""
        if (
            self._per_user
            and principal.kind == "user"
            and not principal.admin
            and self._users.get(principal.subject, 0) >= self._per_user
        ):
            raise HubError("too_many_connections", f"A user may have {self._per_user}.")
        if self._per_address:
            place = self._place(address)
            if place is not None and self._places.get(place, 0) >= self._per_address:
                raise HubError("too_many_connections", f"{place} may have {self._per_address}.")

    def enter(self, session: Session) -> None:
        """One more."""
        if self._per_user and session.principal.kind == "user":
            self._users[session.user] = self._users.get(session.user, 0) + 1
        if self._per_address and (place := self._place(session.address)) is not None:
            self._places[place] = self._places.get(place, 0) + 1

    def leave(self, session: Session) -> None:
        """One less, of those that were entered."""
        if self._per_user and session.principal.kind == "user":
            _take_one(self._users, session.user)
        if self._per_address and (place := self._place(session.address)) is not None:
            _take_one(self._places, place)

    def _place(self, address: str) -> str | None:
        return None if self._is_proxy(address) else network(address)


def _take_one(counts: dict[str, int], key: str) -> None:
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]
