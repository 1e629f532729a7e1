"""CloudEvents 1.0 at the door: the three content modes of its HTTP binding, to publications; and out, as a batch.

Structured (``application/cloudevents+json``), batched (``application/cloudevents-batch+json``) and binary (``ce-…``
headers, any ``Content-Type``). Where an event goes and how it is kept is said by extension attributes that begin with
``hub`` (``hubusers``, ``hubtopics``, …), which are taken off; senders whose events cannot be changed name them in
the query. All else is kept: see ``hub.cloud_attributes``.

Parsed here, by the letter of the specification (sections are those of version 1.0.2): libraries invent what is missing.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hub_client import Event
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic_core import from_json, to_json

from hub import cloud_attributes, wire
from hub.errors import HubError
from hub.publication import Publication

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

MEDIA_PREFIX = b"application/cloudevents"
BINARY_HEADER = b"ce-specversion"

Headers = Sequence[tuple[bytes, bytes]]

_MAX_BATCH = 1000
_QUOTED_PAIR = re.compile(r"\\(.)")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_TEXTUAL = re.compile(r"text/.+|.+/xml|.+\+xml")
_JSON = re.compile(r".+/json|.+\+json")


class CloudEventBody(BaseModel):
    """A CloudEvent in the JSON format, for the OpenAPI document. Further attributes are kept."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "specversion": "1.0",
                    "id": "7-paid",
                    "source": "/shop/orders",
                    "type": "com.example.order.paid",
                    "data": {"order": 7},
                    "hubusers": "alice",
                }
            ]
        },
    )

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: JsonValue = None
    data_base64: str | None = None
    hubusers: str | None = None
    hubtopics: str | None = None
    huball: bool | None = None
    hubdurable: bool | None = None
    hubttl: int | None = None
    hubcollapsekey: str | None = None
    hubpriority: Literal["low", "normal", "high"] | None = None
    hubexclude: str | None = None


def is_meant(headers: Headers) -> bool:
    """Whether a request with these (lower-case) header names speaks CloudEvents."""
    return any(
        name == BINARY_HEADER or (name == b"content-type" and value[: len(MEDIA_PREFIX)].lower() == MEDIA_PREFIX)
        for name, value in headers
    )


def parse(headers: Headers, query: Mapping[str, str], body: bytes) -> tuple[list[Publication], bool]:
    """The publications, and whether it was one event rather than a batch.

    ``query``: targets (``users``, ``topics``, ``all``) of the events that name none themselves. Raises
    ``event_invalid``, with ``index`` in a batch, and ``media_type_unsupported``.
    """
    content_type = _only_content_type(headers)
    media = _media_type(content_type)
    if not media.startswith(MEDIA_PREFIX.decode()):
        return [_publication(_from_binary(headers, content_type, body), query)], True
    if media not in (STRUCTURED, BATCH):
        raise HubError("media_type_unsupported", f"CloudEvents are taken as {STRUCTURED}, {BATCH} or in binary mode.")
    if _charset(content_type) not in ("", "utf-8"):
        raise HubError("media_type_unsupported", "JSON is read as UTF-8 (RFC 8259, 8.1).")
    value = _read_json(body, "The body")
    if media == STRUCTURED:
        return [_publication(_from_json_format(value), query)], True
    if not isinstance(value, list) or len(value) > _MAX_BATCH:
        raise HubError("event_invalid", f"A batch is an array of at most {_MAX_BATCH} CloudEvents.")
    said = []
    for index, one in enumerate(value):
        try:
            said.append(_publication(_from_json_format(one), query))
        except HubError as refusal:
            refusal.extra["index"] = index
            raise
    return said, False


def is_wanted(accept: Sequence[str]) -> bool:
    """Whether a reader asks for CloudEvents (RFC 9110, 12.5.1): it names them, and does not say that it wants none."""
    for name in ",".join(accept).lower().split(","):
        media, *parameters = [part.strip() for part in name.split(";")]
        if media == BATCH:
            return not any(re.fullmatch(r"q=0(\.0*)?", one) for one in parameters)
    return False


def render(history: bytes) -> tuple[bytes, dict[str, str]]:
    """The answer of ``GET /v1/events`` as a batch of CloudEvents, and the headers that say where to go on."""
    page = from_json(history)
    batch = [Event.from_frame(entry).to_cloudevent() for entry in page["events"]]
    flags = {f"Hub-{name}": "true" if page[name.lower()] else "false" for name in ("More", "Reset")}
    return to_json(batch), {"Hub-Cursor": page["cursor"]} | flags


# --- From the formats to attributes and data


def _from_json_format(value: object) -> dict[str, JsonValue]:
    """JSON format, section 3: null is as if absent."""
    if not isinstance(value, dict):
        raise HubError("event_invalid", "A CloudEvent is a JSON object.")
    event = {name: each for name, each in value.items() if each is not None}
    if "data_base64" in event:
        text = event.pop("data_base64")
        if "data" in event:
            raise HubError("event_invalid", "data and data_base64 exclude each other.")
        try:
            base64.b64decode(text, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise HubError("event_invalid", "data_base64: this is not base64 (RFC 4648, 4).") from None
        event["data"] = text
        event[cloud_attributes.IS_BASE64] = True
    return event


def _from_binary(headers: Headers, content_type: str, body: bytes) -> dict[str, JsonValue]:
    """HTTP binding, section 3.1."""
    event: dict[str, JsonValue] = {}
    for header, raw in headers:
        if header.startswith(b"ce-"):
            name = header[3:].decode("latin-1")
            if name in event:
                raise HubError("event_invalid", f"ce-{name[:40]} is there more than once.")
            if name in ("data", "data_base64", "datacontenttype"):
                raise HubError("event_invalid", f"ce-{name} is no header: the body is the data, of the Content-Type.")
            event[name] = _from_header(name, raw)
    if content_type:
        event["datacontenttype"] = content_type
    if not body:
        return event
    media = _media_type(content_type)
    if _JSON.fullmatch(media):
        event["data"] = _read_json(body, "The data")
        return event
    text = _as_text(body) if _TEXTUAL.fullmatch(media) and _charset(content_type) in ("", "utf-8", "us-ascii") else None
    if text is None:
        event["data"] = base64.b64encode(body).decode()
        event[cloud_attributes.IS_BASE64] = True
    else:
        event["data"] = text
    return event


def _from_header(name: str, raw: bytes) -> str:
    """Section 3.1.3.2: quotes are taken off, percent-encoding is undone once."""
    text = raw.decode("latin-1").strip()
    if text[:1] == '"' and text[-1:] == '"' and len(text) > 1:
        text = _QUOTED_PAIR.sub(r"\1", text[1:-1])
    decoded = _PERCENT.sub(lambda found: bytes([int(found[1], 16)]), text.encode("latin-1"))
    value = _as_text(decoded)
    if value is None:
        raise HubError("event_invalid", f"ce-{name[:40]} is not UTF-8.")
    return value


# --- From attributes and data to a publication


def _publication(event: dict[str, Any], query: Mapping[str, str]) -> Publication:
    for name in ("specversion", "id", "source", "type"):
        if name not in event:
            raise HubError("event_invalid", f"{name}: a CloudEvent has to have it.")
    if event.pop("specversion") != "1.0":
        raise HubError("event_invalid", "specversion: only CloudEvents 1.0 are taken.")
    said = {"id": event.pop("id"), "type": event.pop("type"), "data": event.pop("data", None)}
    own = {name: event.pop(name, None) for name in ("hubusers", "hubtopics", "huball")}
    to: Mapping[str, Any] = own
    if all(value is None for value in own.values()):
        to = {f"hub{name}": query.get(name) for name in ("users", "topics", "all")}
    said["to"] = {
        "users": _names("hubusers", to["hubusers"]),
        "topics": _names("hubtopics", to["hubtopics"]),
        "all": _flag("huball", to["huball"], False),
    }
    if not any(said["to"].values()):
        raise HubError(
            "event_invalid",
            "Name a target: in the attributes hubusers, hubtopics (commas between) or huball, or in the query as "
            "users, topics or all.",
        )
    said["durable"] = _flag("hubdurable", event.pop("hubdurable", None), True)
    said["ttl"] = _seconds("hubttl", event.pop("hubttl", None))
    said["collapse_key"] = event.pop("hubcollapsekey", None)
    said["priority"] = event.pop("hubpriority", None)
    said["exclude"] = _names("hubexclude", event.pop("hubexclude", None))
    try:
        said["cloudevent"] = cloud_attributes.check(event)
    except ValueError as error:
        raise HubError("event_invalid", f"{error}.") from None
    try:
        return Publication.model_validate(said)
    except ValidationError as problem:
        raise HubError("event_invalid", wire.explain(problem)) from None


def _names(name: str, value: object) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, str):
        raise HubError("event_invalid", f"{name} is to be a text, with commas between the names.")
    return [part for one in value.split(",") if (part := one.strip())]


def _flag(name: str, value: object, default: bool) -> bool:
    known: dict[object, bool] = {"true": True, "false": False}
    flag = default if value is None else known.get(value, value) if isinstance(value, str) else value
    if not isinstance(flag, bool):
        raise HubError("event_invalid", f"{name} is to be true or false.")
    return flag


def _seconds(name: str, value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise HubError("event_invalid", f"{name} is to be a whole number of seconds.")


# --- Reading


def _only_content_type(headers: Headers) -> str:
    values = [value for name, value in headers if name == b"content-type"]
    if len(values) > 1:
        raise HubError("event_invalid", "There is more than one Content-Type.")
    return values[0].decode("latin-1").strip() if values else ""


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _charset(content_type: str) -> str:
    for parameter in content_type.lower().split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            return value.strip().strip('"')
    return ""


def _read_json(body: bytes, what: str) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise HubError("event_invalid", f"{what} is no JSON (RFC 8259): {error}.") from None


def _as_text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
