"""How the values of settings are written: times, sizes, browser origins, addresses.

Pure. Each function returns the value as the hub uses it, or raises ``ValueError`` with words that say how to write it.
Knows no other module of the hub.
"""

from __future__ import annotations

import math
import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

_NUMBER_WITH_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {
    unit + end: base**power
    for end, base in (("ib", 1024), ("b", 1000))
    for power, unit in enumerate(("k", "m", "g", "t"), start=1)
}

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_DEFAULT_PORTS = {"http": 80, "https": 443}

Network = IPv4Network | IPv6Network


def seconds(value: Any) -> Any:
    """``15m`` is 900; a plain number is seconds. What is not text is returned as it is."""
    return _with_unit(value, _SECONDS, "not a time: write seconds, or a number with s, m, h or d, such as 15m")


def size(value: Any) -> Any:
    """``512MiB`` is 536870912; a plain number is bytes. What is not text is returned as it is.

    ``512M`` is refused, as it is a power of 1024 to some and of 1000 to others.
    """
    expected = "not a size: write bytes, or a number with KiB, MiB, GiB, TiB (of 1024) or kB, MB, GB, TB (of 1000)"
    found = _with_unit(value, _BYTES, expected)
    return int(found) if isinstance(value, str) else found


def origin(text: str) -> str:
    """A browser's origin as browsers write it (RFC 6454, section 6.2), or ``*``.

    One slash at the end and the scheme's own port are taken off, scheme and host are lower-cased. Everything else that
    no browser would send, and which would therefore never match, is refused.
    """
    if text == "*":
        return text
    found = _origin(text)
    if found is not None:
        return found
    meant = _meant(text)
    advice = f"write {meant}" if meant is not None else "an origin looks like https://app.example.com"
    raise ValueError(f"{text!r} is not an origin; {advice}")


def fetchable(text: str, *, allow_http: bool = False) -> str:
    """An address from which the hub may fetch: https, or http on this machine (elsewhere only if allowed)."""
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https") or "@" in parts.netloc or "#" in text:
        raise ValueError(f"{text!r} is no https URL")
    if parts.scheme == "http" and not allow_http and not _is_loopback(parts.hostname or ""):
        raise ValueError(f"{text!r} is not safe: use https, or allow_http if nobody can be between")
    return text


def postgresql(url: str) -> str:
    """``postgresql://user:password@host:port/name?sslmode=…``, as libpq's URLs are written.

    The URL holds a password, so no message repeats it.
    """
    scheme, separator, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres", "postgresql+asyncpg") or not separator:
        raise ValueError("not the URL of a PostgreSQL database: it looks like postgresql://user:password@host/name")
    try:
        name = urlsplit(f"postgresql://{rest}").path.strip("/")  # Not its host: there may be several, or a socket.
    except ValueError:
        name = ""
    if not name or "#" in rest or any(sign.isspace() for sign in rest):
        raise ValueError(
            "a URL that cannot be read, or names no database: it looks like postgresql://user:password@host/name, and "
            "other characters than letters and digits in the password are written like %40 for @"
        )
    return f"postgresql://{rest}"


def url_origin(url: str) -> str | None:
    """Scheme, host and port of a URL (RFC 6454, section 4); None if it is none."""
    parts = _split(url)
    return None if parts is None else _joined(parts)


def network(text: Any) -> Any:
    """``10.0.0.0/8``, or an address for itself alone. What is not text is returned as it is."""
    if not isinstance(text, str):
        return text
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an address or a network such as 10.0.0.0/8 ({error})") from None


def url_of(host: str, port: int) -> str:
    """Where what listens there is reached from the same machine."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _with_unit(value: Any, units: dict[str, int], expected: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        number, factor = float(value), 1
    except ValueError:
        found = _NUMBER_WITH_UNIT.fullmatch(value.strip())
        if found is None or found[2].lower() not in units:
            raise ValueError(f"{value!r} is {expected}") from None
        number, factor = float(found[1]), units[found[2].lower()]
    if not math.isfinite(number * factor):
        raise ValueError(f"{value!r} is {expected}")
    return number * factor


def _origin(text: str) -> str | None:
    """The origin as browsers write it; None if the text is none."""
    parts = _split(text)
    if parts is None or parts.path not in ("", "/") or "@" in parts.netloc or "?" in text or "#" in text:
        return None
    # A page is never at a socket's address.
    if not _SCHEME.fullmatch(parts.scheme) or parts.scheme in ("ws", "wss"):
        return None
    return _joined(parts)


def _meant(text: str) -> str | None:
    """The origin that was probably meant."""
    if "://" not in text:
        bare = _split(f"http://{text}")
        local = bare is not None and (bare.hostname == "localhost" or _is_address(bare.hostname or ""))
        if bare is None or not (local or "." in (bare.hostname or "")):
            return None
        text = f"{'http' if local else 'https'}://{text}"
    parts = _split(re.sub(r"^ws(?=s?://)", "http", text, flags=re.IGNORECASE))
    return None if parts is None else _joined(parts)


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - it is here that a bad one is found.
    except ValueError:
        return None
    return parts if parts.hostname and not any(sign.isspace() for sign in text) else None


def _joined(parts: SplitResult) -> str | None:
    host = parts.hostname or ""
    if ":" in host:
        if "%" in host or not _is_address(host):
            return None
        host = f"[{IPv6Address(host).compressed}]"
    elif not _HOST.fullmatch(host):
        return None
    default = _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, default) else "")


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
