"""What is around: the port, NATS, and the hub as it is reached through its proxies. Knows settings and the clients."""

from __future__ import annotations

import errno
import ipaddress
import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import httpx

from hub.doctor.finding import Finding, fail, ok, warn
from hub.notation import url_of
from hub.settings import Settings

_PATIENCE = 5.0
_SKEW = 30.0
_UPGRADE = "proxy_http_version 1.1 and the Upgrade and Connection headers, as the README's nginx example has them"


def port(settings: Settings) -> Finding:
    """Free, or the hub's already; and who may reach it."""
    where = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((settings.host, settings.port))
            sock.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and _is_a_hub(url_of(settings.host, settings.port)):
                return ok("port", f"a hub answers at {where}")
            return fail(
                "port",
                f"{where} cannot be listened on: {error.strerror}",
                "choose another (HUB_PORT, HUB_HOST), or end what uses it",
            )
    try:
        private = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        private = settings.host == "localhost"
    if not private:
        return warn(
            "port",
            f"{where} is free, and open to the network without TLS",
            "put a proxy that speaks TLS in front of it, and let nobody else reach the port",
        )
    return ok("port", f"{where} is free")


def origins(settings: Settings) -> Finding:
    """Whose pages may use the hub."""
    if "*" in settings.allowed_origins:
        return warn("origins", "pages of every site may connect (*)", "name yours in HUB_ALLOWED_ORIGINS")
    return ok("origins", ", ".join(("the hub's own", *settings.allowed_origins)))


async def nats(settings: Settings) -> Finding:
    """The servers that keep the log, if there are any."""
    from hub.data_directory import StartError
    from hub.engine_choice import nats_access

    try:
        access = nats_access(settings)
        from hub.engine.nats_link import Link, Refused
    except (StartError, ModuleNotFoundError) as error:
        return fail("NATS", str(error), "pip install 'notification-hub[nats]'")
    from hub.errors import HubError

    link = Link(access, "hub doctor", lambda: None)
    try:
        await link.open()
        account = await link.call("INFO")
        names = ", ".join(access.servers)
        try:
            state = (await link.call(f"STREAM.INFO.{settings.nats_stream}"))["state"]
        except Refused:
            return ok("NATS", f"{names}, with JetStream; the stream {settings.nats_stream} is made at the first start")
        return ok("NATS", f"{names}: {state['messages']} events, {account.get('storage', 0) >> 20} MiB in the account")
    except (OSError, HubError, Refused) as error:
        return fail("NATS", str(error), "see to HUB_NATS_URL, to its servers, and to their jetstream {} setting")
    finally:
        await link.close()


def reached(url: str) -> Iterator[Finding]:
    """A hub that runs, through whatever is before it: does it answer, keep the clock, and let sockets through?"""
    try:
        with httpx.Client(timeout=_PATIENCE) as client:
            answer = client.get(f"{url.rstrip('/')}/healthz")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield fail("reached", f"{url}: {error or type(error).__name__}", "see to name, port, certificate and proxy")
        return
    if answer.status_code != 200 or not _says_ok(answer):
        yield fail(
            "reached", f"{url}/healthz answers {answer.status_code}, and not as a hub", "see to the proxy's routes"
        )
        return
    yield _scheme(answer)
    yield _same_time(answer)
    yield _socket(url)


def _scheme(answer: httpx.Response) -> Finding:
    host = answer.url.host
    if answer.url.scheme == "https" or host in ("localhost", "::1") or host.startswith("127."):
        return ok("reached", f"{answer.url.copy_with(path='/')} in {answer.elapsed.total_seconds() * 1000:.0f} ms")
    return warn("reached", f"{answer.url} is not encrypted: tokens can be read on the way", "speak TLS at the proxy")


def _same_time(answer: httpx.Response) -> Finding:
    said = answer.headers.get("date")
    if said is None:
        return ok("clocks", "not told")
    skew = parsedate_to_datetime(said).timestamp() - time.time()
    if abs(skew) > _SKEW:
        return warn("clocks", f"the other side's clock differs by {skew:.0f} s", "keep both set (chrony)")
    return ok("clocks", "agree to within seconds")


def _socket(url: str) -> Finding:
    """Without a token: a hub accepts, and closes with 1008 and the reason. A proxy that knows no WebSockets answers
    something else, and one that ends them by itself loses the reason."""
    from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
    from websockets.sync.client import connect

    address = "ws" + url.rstrip("/").removeprefix("http") + "/v1/ws"
    try:
        with connect(address, open_timeout=_PATIENCE, subprotocols=["hub.v1"]) as connection:  # type: ignore[list-item]
            connection.recv(timeout=_PATIENCE)
    except ConnectionClosed as end:
        if end.rcvd is not None and end.rcvd.code == 1008 and end.rcvd.reason.startswith("token_missing"):
            return ok("WebSocket", "passes, with close codes and reasons")
        return warn("WebSocket", f"ends with {end.rcvd}", "let the proxy pass close frames: clients go by their codes")
    except InvalidStatus as error:
        return fail(
            "WebSocket", f"the handshake is answered {error.response.status_code}", f"give the proxy {_UPGRADE}"
        )
    except (OSError, TimeoutError, WebSocketException) as error:
        return fail("WebSocket", f"the handshake fails: {error}", f"give the proxy {_UPGRADE}")
    return warn("WebSocket", "says something without having been given a token", "see what answers there")


def _is_a_hub(url: str) -> bool:
    try:
        # Never through the environment's proxy: it is this machine.
        with httpx.Client(trust_env=False, timeout=_PATIENCE) as client:
            return _says_ok(client.get(f"{url}/healthz"))
    except httpx.HTTPError:
        return False


def _says_ok(answer: httpx.Response) -> bool:
    try:
        return bool(answer.json() == {"status": "ok"})
    except ValueError:
        return False
