"""Events as CloudEvents 1.0 in the JSON format (https://github.com/cloudevents/spec), and back. Pure.

An event that came to the hub as a CloudEvent goes out with the attributes that it had. Of any other, the source is its
publisher (``service:shop``, which is a URI), and the time the hub's. In any case ``hubpublisher``, ``hubtopic``,
``hubtime`` and ``hubcursor`` say what only the hub knows: extensions that no publisher can make up.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from hub_client._models import Event

_BASE64 = "data_base64"
_HUB = ("hubpublisher", "hubtopic", "hubtime", "hubcursor")


def render(event: Event) -> dict[str, Any]:
    """The structured form of a received event."""
    kept = dict(event.cloudevent or {})
    is_base64 = kept.pop(_BASE64, False)
    publisher = quote(event.source, safe=":@+=~/")
    cloud = {"specversion": "1.0", "id": event.id, "type": event.type, "source": publisher}
    if event.time:
        cloud["time"] = event.time
    cloud |= kept
    cloud |= {"hubpublisher": publisher, "hubtopic": event.topic, "hubtime": event.time}
    if event.cursor is not None:
        cloud["hubcursor"] = event.cursor
    if event.data is not None:
        cloud[_BASE64 if is_base64 else "data"] = event.data
    return cloud


def take_apart(cloud: Mapping[str, Any]) -> tuple[str, str, Any, dict[str, Any]]:
    """Id, type, data and the other attributes of a structured CloudEvent. Raises ValueError for what is none."""
    attributes = {name: value for name, value in cloud.items() if value is not None and name not in _HUB}
    for name in ("specversion", "id", "source", "type"):
        if not isinstance(attributes.get(name), str):
            raise ValueError(f"a CloudEvent has to have {name}, a text")
    if attributes.pop("specversion") != "1.0":
        raise ValueError("specversion: only CloudEvents 1.0 are taken")
    data: Any = attributes.pop("data", None)
    encoded: Any = attributes.pop(_BASE64, None)
    if data is not None and encoded is not None:
        raise ValueError("data and data_base64 exclude each other")
    if isinstance(data, bytes):
        data, encoded = None, base64.b64encode(data).decode()
    if encoded is not None:
        data, attributes[_BASE64] = encoded, True
    return attributes.pop("id"), attributes.pop("type"), data, attributes
