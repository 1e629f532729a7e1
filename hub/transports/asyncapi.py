"""The AsyncAPI 3 document of the live stream: every frame, in both directions, from the models that the code goes by,
over a WebSocket and as server-sent events.

``/asyncapi.json`` is to the stream what ``/openapi.json`` is to the calls. In the words of the specification
(asyncapi.com/docs/reference/specification/v3.0.0) the hub is the application: it *sends* what a client receives. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from hub import frame_models, wire
from hub.errors import TABLE
from hub.transports import door

_SCHEMA = "#/components/schemas/{model}"
_EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    frame_models.Welcome: {
        "type": "welcome",
        "protocol": "hub.v1",
        "connection": "c_8Zk2nQ",
        "client": "tab-7f3a91c2",
        "user": "alice",
        "topics": ["all", "user:alice"],
        "cursor": "9f2c41d07a13:41",
        "expires": 1790000000.0,
    },
    frame_models.Event: {
        "type": "event",
        "cursor": "9f2c41d07a13:42",
        "topic": "user:alice",
        "event": {
            "id": "order-7-paid",
            "type": "order.paid",
            "source": "service:shop",
            "time": "2026-11-24T08:30:00.000Z",
            "expires": "2026-12-01T08:30:00.000Z",
            "collapse_key": "order-7",
            "priority": "high",
            "display": {"title": "Order 7 is paid", "url": "/orders/7"},
            "data": {"order": 7},
        },
    },
    frame_models.CursorMoved: {"type": "cursor", "cursor": "9f2c41d07a13:57"},
    frame_models.Reset: {"type": "reset", "reason": "truncated", "cursor": "9f2c41d07a13:40"},
    frame_models.PresenceState: {"type": "presence", "topic": "room:1", "action": "state", "users": ["alice", "bob"]},
    frame_models.PresenceChange: {"type": "presence", "topic": "room:1", "action": "join", "user": "carol"},
    frame_models.Ok: {"type": "ok", "ref": 1, "topics": ["all", "room:1", "user:alice"], "cursor": "9f2c41d07a13:57"},
    frame_models.Error: {"type": "error", "ref": 2, "code": "forbidden", "detail": "user:alice may not publish 'all'."},
    frame_models.Close: {"type": "close", "code": 1008, "reason": "token_expired"},
    wire.Subscribe: {"type": "subscribe", "ref": 1, "topics": ["room:1"]},
    wire.Unsubscribe: {"type": "unsubscribe", "ref": 2, "topics": ["room:1"]},
    wire.Publish: {
        "type": "publish",
        "ref": 3,
        "event": {"type": "typing", "to": {"topics": ["room:1"]}, "durable": False},
    },
    wire.Ack: {"type": "ack", "cursor": "9f2c41d07a13:57"},
    wire.Auth: {"type": "auth", "ref": 4, "token": "eyJ..."},
    wire.Ping: {"type": "ping", "ref": 5},
}
_BY_SOCKET = (*frame_models.TOLD, *frame_models.ANSWERS)
_AS_EVENTS = (*frame_models.TOLD, frame_models.Close)
_ALL = (*_BY_SOCKET, frame_models.Close, *wire.REQUESTS)
_TEXT = {"type": "string"}
_ANSWERED = (wire.Subscribe, wire.Unsubscribe, wire.Publish, wire.Auth, wire.Ping)


@cache
def document(version: str) -> dict[str, Any]:
    """The document of a hub of that version."""
    _, schemas = models_json_schema([(model, "validation") for model in _ALL], ref_template=_SCHEMA)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Notification hub: the live stream",
            "version": version,
            "description": "One connection for all of a user's events: live, in order, once. Frames are JSON text, one "
            "object each, told apart by `type`. Unknown types and fields are to be ignored.\n\n" + _close_codes(),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "hub": {"host": "127.0.0.1:8000", "protocol": "ws", "description": "`wss` behind a TLS proxy."},
            "http": {"host": "127.0.0.1:8000", "protocol": "http", "description": "`https` behind a TLS proxy."},
        },
        "channels": {
            "stream": {
                "address": door.PATH,
                "servers": [{"$ref": "#/servers/hub"}],
                "title": "The stream of one connection",
                "description": "`user:<id>`, `all` and the topics of the token are followed without asking. With "
                "`after`, what was missed comes first.",
                "messages": _messages((*_BY_SOCKET, *wire.REQUESTS)),
                "bindings": {"ws": _handshake()},
            },
            "serverSentEvents": {
                "address": door.SSE_PATH,
                "servers": [{"$ref": "#/servers/http"}],
                "title": "The stream of one connection, for who only listens",
                "description": "`text/event-stream`: a frame is the `data` of an event. `id` is its `cursor`, if it "
                "has one, and `event` its `type`, but for `event` frames, which have none and are `message`s to a "
                "browser. `Last-Event-ID` wins over `after`.",
                "messages": _messages(_AS_EVENTS),
            },
        },
        "operations": {
            "tell": _operation("send", "What the hub tells a client.", _BY_SOCKET),
            "tellAsEvents": _operation("send", "What the hub tells who only listens.", _AS_EVENTS, "serverSentEvents")
            | {"bindings": {"http": {"method": "GET", "query": _query(), "bindingVersion": "0.3.0"}}},
            "ask": _operation(
                "receive", "What a client asks for; answered by the `ok` or `error` of its `ref`.", _ANSWERED
            )
            | {
                "reply": {
                    "channel": {"$ref": "#/channels/stream"},
                    "messages": _channel_messages(frame_models.ANSWERS),
                }
            },
            "acknowledge": _operation("receive", "How far a client is. There is no answer.", (wire.Ack,)),
        },
        "components": {
            "messages": {_name(model): _describe(model) for model in _ALL},
            "schemas": schemas["$defs"],
            "securitySchemes": _security(),
        },
    }


def _name(model: type[BaseModel]) -> str:
    return model.__name__[0].lower() + model.__name__[1:]


def _message(model: type[BaseModel]) -> str:
    return f"#/components/messages/{_name(model)}"


def _describe(model: type[BaseModel]) -> dict[str, Any]:
    words = (model.__doc__ or "").strip()
    return {
        "name": _name(model),
        "title": model.__name__,
        "summary": words.split("\n")[0],
        "payload": {"$ref": _SCHEMA.format(model=model.__name__)},
        "examples": [{"payload": _EXAMPLES[model]}],
    }


def _messages(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    return {_name(model): {"$ref": _message(model)} for model in models}


def _operation(action: str, summary: str, models: Iterable[type[BaseModel]], channel: str = "stream") -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": _channel_messages(models, channel),
        "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in _security()],
    }


def _channel_messages(models: Iterable[type[BaseModel]], channel: str = "stream") -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/{channel}/messages/{_name(model)}"} for model in models]


def _query() -> dict[str, Any]:
    fields = {
        "token": _TEXT | {"description": "An access token; rather give a ticket, since URLs are kept in histories."},
        "ticket": _TEXT | {"description": "Of `POST /v1/auth/ticket`: good once, for 30 seconds."},
        "topics": _TEXT | {"description": "Topics to follow besides, comma-separated."},
        "after": _TEXT
        | {"description": "A cursor: what came after it is sent first. `earliest`: all that is retained."},
        "client": _TEXT
        | {"description": "A name for this client that it keeps over reconnects: 8-64 of A-Z a-z 0-9 _ -."},
    }
    return {"type": "object", "properties": fields}


def _handshake() -> dict[str, Any]:
    headers = {
        "Sec-WebSocket-Protocol": _TEXT | {"description": "`hub.v1, bearer.<token>`: the token without a URL."},
        "Authorization": _TEXT | {"description": "`Bearer <token>`, from other programs than browsers."},
    }
    return {
        "method": "GET",
        "query": _query(),
        "headers": {"type": "object", "properties": headers},
        "bindingVersion": "0.1.0",
    }


def _security() -> dict[str, Any]:
    words = (
        "One of: query, subprotocol, Authorization header. Over a WebSocket a bad one is accepted and closed with 1008 "
        "and the reason; for server-sent events it is answered 401."
    )
    return {
        "query": {"type": "httpApiKey", "name": "token", "in": "query", "description": words},
        "header": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": words},
    }


def _close_codes() -> str:
    codes: dict[int, list[str]] = {}
    for kind in TABLE.values():
        codes.setdefault(kind.close, []).append(f"`{kind.code}`")
    rows = [f"| {code} | {', '.join(names)} |" for code, names in sorted(codes.items())]
    return "\n".join(("How a connection ends:", "", "| close code | reasons |", "|---|---|", *rows))
