"""CloudEvents to be sent, and what the door makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hub.errors import HubError
from hub.publication import Publication
from hub.transports import cloudevents

STRUCTURED = {"content-type": cloudevents.STRUCTURED}
BATCH = {"content-type": cloudevents.BATCH}


def cloud(**attributes: Any) -> dict[str, Any]:
    event = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "paid", "hubusers": "alice"} | attributes
    return {name: value for name, value in event.items() if value is not ...}


def parse(headers: dict[str, str], body: bytes, **query: str) -> tuple[list[Publication], bool]:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    assert cloudevents.is_meant(raw)
    return cloudevents.parse(raw, query, body)


def structured(**attributes: Any) -> Publication:
    [said], single = parse(STRUCTURED, json.dumps(cloud(**attributes)).encode())
    assert single
    return said


def binary(headers: dict[str, str], body: bytes = b"", **query: str) -> Publication:
    known = {f"ce-{name}": value for name, value in cloud().items()}
    [said], single = parse(known | headers, body, **query)
    assert single
    return said


def refused(headers: dict[str, str], body: bytes, **query: str) -> HubError:
    with pytest.raises(HubError) as caught:
        parse(headers, body, **query)
    return caught.value
