"""Reading the bodies and headers of the OAuth2 calls: JSON or a form, and HTTP Basic, strictly.

Bodies are read by hand because one route takes both kinds, and because a credential's body is small: what is longer is
refused before it is read to its end. Nothing of the input is repeated in an error. Knows errors and wire's words.
"""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar
from urllib.parse import parse_qsl, unquote_plus

from fastapi import Request
from pydantic import BaseModel, ValidationError

from hub.errors import HubError
from hub.wire import explain

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
_MAX_BYTES = 16 * 1024

_Model = TypeVar("_Model", bound=BaseModel)


async def read(request: Request, model: type[_Model], *media_types: str) -> _Model:
    """The request's body as ``model``; raises ``request_invalid`` and ``request_too_large``."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in media_types:
        raise HubError("request_invalid", f"The Content-Type must be {' or '.join(media_types)}.")
    body = await _bounded(request)
    try:
        if kind == JSON:
            return model.model_validate_json(body)
        return model.model_validate(_parse_form(body))
    except ValidationError as problem:
        raise HubError("request_invalid", explain(problem)) from None


def basic(authorization: str) -> tuple[str, str]:
    """Id and secret of an ``Authorization: Basic`` header, each percent-decoded (RFC 6749, 2.3.1).

    Raises ``request_invalid``.
    """
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise HubError("request_invalid", "The Authorization header must be 'Basic <id:secret in base64>'.")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
        name, colon, secret = text.partition(":")
        if not colon:
            raise ValueError
        return unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
    except (binascii.Error, ValueError):
        raise HubError("request_invalid", "The Authorization header is not base64 of id:secret.") from None


async def _bounded(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise HubError("request_too_large", f"The body of this call has at most {_MAX_BYTES} bytes.")
    return bytes(body)


def _parse_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), errors="strict")
    except ValueError:
        raise HubError("request_invalid", "The form cannot be read.") from None
    fields = dict(pairs)
    # RFC 6749, 3.2: a parameter must not come twice.
    if len(fields) != len(pairs):
        raise HubError("request_invalid", "A field of the form is given twice.")
    # The same section: a parameter without a value counts as left out.
    return {name: value for name, value in fields.items() if value}
