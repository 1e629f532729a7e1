"""The Python client's publisher, for code in the hub's own process: no token, no request, the same promises."""

from __future__ import annotations

import json
import math
from typing import Any

from hub_client import AsyncPublisher, Refused, Unavailable
from hub_client._retry import Doubt

from hub.errors import HubError, Retry
from hub.model import Grants, Principal, is_subject
from hub.policy import check_pattern
from hub.transports.http import Publishing


class InProcessPublisher(AsyncPublisher):
    """Publishes as a service of this name. See ``hub.embed.EmbeddedHub.publisher``."""

    def __init__(self, publishing: Publishing, name: str, publish: tuple[str, ...], *, timeout: float = 30) -> None:
        if not is_subject(name):
            raise ValueError(f"{name[:60]!r} is no name of a service")
        # Never asked: nothing is sent anywhere.
        super().__init__("http://in-process.invalid", token="", timeout=timeout)
        self._publishing = publishing
        self._principal = Principal(
            name, "service", "in-process", math.inf, grants=Grants(publish=tuple(map(check_pattern, publish)))
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._principal.source}>"

    async def _post(self, body: str, doubt: Doubt) -> Any:
        with doubt.about():
            try:
                answer = self._publishing(self._principal, body.encode())
                return json.loads(answer if isinstance(answer, bytes) else await answer)
            except HubError as error:
                if error.kind.retry is Retry.LATER:
                    undone = error.kind.status in (429, 503)
                    raise Unavailable(
                        str(error), maybe_done=not undone, retry_after=error.extra.get("retry_after", 0)
                    ) from error
                raise Refused(error.code, error.detail, error.kind.status, error.extra.get("index")) from error
