"""From when until when a token holds (RFC 7519, 4.1.4-4.1.6). Pure; knows errors."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from hub.errors import HubError

LEEWAY = 30.0
"""Seconds by which another machine's clock may be ahead of ours when it says from when on a token holds. The end of
a token has no leeway: it bounds how long its connections live."""

Seconds: TypeAlias = Annotated[float, Field(ge=0, lt=1e11, allow_inf_nan=False)]
"""A NumericDate (RFC 7519, section 2): Unix seconds, in this millennium or the next three."""


class Times(BaseModel):
    """The times in a token. When it was issued and when it ends have to be there."""

    model_config = ConfigDict(strict=True, extra="ignore")

    iat: Seconds
    exp: Seconds
    nbf: Seconds = 0

    def check(self, now: float) -> None:
        """That the token holds at ``now`` (Unix seconds); raises ``token_not_yet_valid`` or ``token_expired``."""
        if max(self.nbf, self.iat) > now + LEEWAY:
            raise HubError("token_not_yet_valid")
        if self.exp <= now:
            raise HubError("token_expired")
