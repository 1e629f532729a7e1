"""Answers as bytes, for those who are answered before ASGI: with all that uvicorn and the middleware would add."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from hub.errors import HubError
from hub.transports import request_id
from hub.transports.middleware import API_HEADERS
from hub.transports.problem import render

Headers = list[tuple[bytes, bytes]]

_SECURITY = b"".join([b"%b: %b\r\n" % (name.lower().encode(), value.encode()) for name, value in API_HEADERS.items()])
_OK = STATUS_LINE[200] + b"content-type: application/json\r\n" + _SECURITY
_CLOSE = b"connection: close\r\n"


class Answers:
    """Puts a head before what is answered."""

    def __init__(self) -> None:
        self._defaults: Headers = []
        self._ok = _OK

    def receipts(self, body: bytes, defaults: Headers, *, keep_alive: bool, request: str = "") -> bytes:
        """A 200 with this JSON. ``defaults``: the server's headers, a new list whenever they change (for the date).

        ``request``: the id that the request named, if it did.
        """
        if defaults is not self._defaults:
            self._defaults = defaults
            self._ok = _OK + b"".join([b"%b: %b\r\n" % header for header in defaults])
        more = b"" if keep_alive else _CLOSE
        if request:
            more += b"%b: %b\r\n" % (request_id.HEADER, request.encode())
        return b"%bcontent-length: %d\r\n%b\r\n%b" % (self._ok, len(body), more, body)

    def problem(self, refusal: HubError, defaults: Headers, *, keep_alive: bool, more: Headers | None = None) -> bytes:
        """A refusal (RFC 9457). ``more``: headers besides those that every answer has."""
        answer = render(refusal)
        head = [
            STATUS_LINE[answer.status_code],
            *(b"%b: %b\r\n" % header for header in [*defaults, *answer.raw_headers, *(more or ())]),
        ]
        if not keep_alive:
            head.append(_CLOSE)
        return b"".join(head) + _SECURITY + b"\r\n" + bytes(answer.body)
