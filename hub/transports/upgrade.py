"""The WebSocket handshake (RFC 6455, 4.2): from a request's head to the head of the answer. Pure."""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass

from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension
from websockets.utils import accept_key

from hub.errors import HubError
from hub.transports.door import Handshake

# Without context takeover on our side: so a frame is compressed once, for everybody (RFC 7692, 7.1.1.1). On the
# client's side, too, so that an idle connection keeps no window.
_deflate = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """An accepted handshake: the head to answer with, and whether frames may be compressed."""

    head: bytes
    deflate: bool


def accept(handshake: Handshake, *, compression: bool) -> Upgrade:
    """Agree to a handshake; raises ``http_invalid`` and ``upgrade_required`` if it is none."""
    versions = handshake.values(b"sec-websocket-version")
    if versions != ["13"]:
        raise HubError("upgrade_required", "The hub speaks version 13 of WebSocket (RFC 6455).")
    keys = handshake.values(b"sec-websocket-key")
    try:
        valid = len(keys) == 1 and len(b64decode(keys[0], validate=True)) == 16
    except (binascii.Error, ValueError):
        valid = False
    if not valid:
        raise HubError("http_invalid", "Sec-WebSocket-Key: one, of 16 bytes in base64 (RFC 6455, 4.1).")
    lines = [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        accept_key(keys[0]).encode(),
        b"\r\n",
    ]
    if handshake.subprotocol is not None:
        lines.append(b"Sec-WebSocket-Protocol: %b\r\n" % handshake.subprotocol.encode())
    agreed = _agree_on_deflate(handshake) if compression else None
    if agreed is not None:
        lines.append(b"Sec-WebSocket-Extensions: %b\r\n" % agreed.encode())
    lines.append(b"\r\n")
    return Upgrade(b"".join(lines), agreed is not None)


def inflater() -> PerMessageDeflate:
    """Reads what a client compressed. It keeps nothing from message to message."""
    return PerMessageDeflate(
        remote_no_context_takeover=True,
        local_no_context_takeover=True,
        remote_max_window_bits=15,
        local_max_window_bits=15,
    )


def _agree_on_deflate(handshake: Handshake) -> str | None:
    """The answer to the first offer of permessage-deflate that suits us."""
    for line in handshake.values(b"sec-websocket-extensions"):
        try:
            offers = parse_extension(line)
        except InvalidHeader as error:
            raise HubError("http_invalid", "Sec-WebSocket-Extensions cannot be read (RFC 6455, 9.1).") from error
        for name, parameters in offers:
            # A client that wants a smaller window than others have would need frames of its own.
            if name != _deflate.name or any(key == "server_max_window_bits" for key, _ in parameters):
                continue
            try:
                answered, _ = _deflate.process_request_params(parameters, [])
            except NegotiationError:
                continue
            return build_extension([(name, answered)])
    return None
