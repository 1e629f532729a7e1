"""What can go wrong, as one tree.

::

    HubClientError
    ├── Refused         the hub said no to this request; the same request will be refused again
    ├── Rejected        the hub, or the login, said no to this client; it has stopped for good
    ├── Unavailable     the hub could not be reached, or could not answer, in time; nothing is known to be wrong
    └── PublishFailed   events were not acknowledged in time; publishing them again *with these ids* is safe

``code`` is the stable name of the hub's table (docs/protocol.md, section 6) where the hub gave one. No message,
argument or repr holds a token, password or secret. Knows no other module.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub_client._models import Receipt


class HubClientError(Exception):
    """Whatever this package raises on purpose, besides ValueError and TypeError for arguments that make no sense."""


class Refused(HubClientError):
    """The hub refused one request, and would again.

    ``status`` is the HTTP status, None for a request on the socket; ``index``: of several events, the one because of
    which all were refused, if the hub said which.
    """

    def __init__(self, code: str, detail: str, status: int | None = None, index: int | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.status = status
        self.index = index


class Rejected(HubClientError):
    """The client may not go on: wrong credentials, logged out, no fresh token, or a close code that says so."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Unavailable(HubClientError):
    """The hub could not be reached or could not answer; the same may work later.

    ``maybe_done`` is False where the request surely had no effect. ``retry_after`` is the least wait in seconds that
    the hub asked for (RFC 9110, 10.2.3), if it did.
    """

    def __init__(self, detail: str, *, maybe_done: bool = True, retry_after: float = 0) -> None:
        super().__init__(detail)
        self.maybe_done = maybe_done
        self.retry_after = retry_after


class PublishFailed(HubClientError):
    """Events were not acknowledged before the deadline: they may be in the log or not.

    ``ids`` are theirs, in order. Durable events may be published again under the same ids, now or hours later: if
    they were in the log after all, they are not delivered twice. ``receipts`` are of those that were acknowledged
    before (of a long batch); ``__cause__`` is the last failure.
    """

    def __init__(self, detail: str, ids: Iterable[str], receipts: Iterable[Receipt] = ()) -> None:
        super().__init__(detail)
        self.ids = tuple(ids)
        self.receipts = tuple(receipts)

    @property
    def id(self) -> str:
        """The id of the (first) event."""
        return self.ids[0]
