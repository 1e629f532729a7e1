"""The log: a line for each event of interest, as text or as JSON, without secrets in it.

A JSON line has ``time`` (RFC 3339), ``level``, ``logger``, ``message``; ``request`` and ``connection`` where it is
about one (docs/logs.md); and ``exception``. What looks like a token or a password is taken out of all of them, the
tracebacks included.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Literal

from hub.model import timestamp
from hub.transports import request_id

Format = Literal["text", "json"]

_FIELDS = "token|ticket|access_token|refresh_token|password|client_secret"
_SECRETS = re.compile(
    # In URLs and forms; in JSON and in what Python prints of it; by what the hub's own look like.
    rf"(?P<name>\b(?:{_FIELDS})=)[^&\s\"']+"
    rf"|(?P<key>(?P<quote>[\"'])(?:{_FIELDS})(?P=quote)\s*:\s*(?P<open>[\"']))(?:\\.|(?!(?P=open)).)*"
    r"|\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|\bhub[krt]_[A-Za-z0-9_.-]{8,}",
    re.IGNORECASE,
)
_CONNECTION = re.compile(r"\bc_[0-9a-f]{24}\b")
"""As ``Hub.open`` makes them up."""


def redact(text: str) -> str:
    """The text without tokens and passwords."""
    return _SECRETS.sub(lambda found: f"{found['name'] or found['key'] or ''}[redacted]", text)


class TextFormatter(logging.Formatter):
    """For people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, with the request at its end."""
        request = request_id.current.get()
        line = super().formatMessage(record)
        return f"{line} [{request}]" if request else line

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter``."""
        return redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """For programs: one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter``."""
        message = redact(record.getMessage())
        line = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        if request := request_id.current.get():
            line["request"] = redact(request)  # It is the caller's, and may be anything.
        if found := _CONNECTION.search(message):
            line["connection"] = found[0]
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        # ASCII only: no line separator that a collector could take for the end of the line.
        return json.dumps(line)


def configure(level: str, form: Format = "text") -> None:
    """One line an event on stderr, the hub's at ``level``, the libraries' warnings only."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("hub").setLevel(level.upper())
