"""The log as whoever collects it reads it: one object a line, with ids by which lines are put together, no secret."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hub.logs import JsonFormatter, TextFormatter
from hub.transports import request_id
from tests.hub_process import HubProcess
from tests.transports.gauges import wait_until
from tests.transports.raw import RawSocket


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(tmp_path_factory.mktemp("logs"), log_format="json")
    try:
        yield hub.start()
    finally:
        hub.close()


def lines(hub: HubProcess) -> list[dict[str, Any]]:
    """Every line but the greeting for people, which is on stdout."""
    return [json.loads(line) for line in hub.log().splitlines() if line.startswith("{")]


def test_a_run_as_the_person_on_call_reads_it(hub: HubProcess) -> None:
    token = hub.add_user("alice")

    async def story() -> str:
        headers = [("X-Request-ID", "from-the-proxy-7")]
        socket = await RawSocket.connect(hub.port, token=token, headers=headers)
        connection: str = (await socket.until("welcome"))["connection"]
        socket.cut()
        refused = await RawSocket.connect(hub.port, token="eyJhbGciOi.eyJzdWIiOiJ4.c2lnbmF0dXJl", headers=headers)
        assert (await refused.end())[0] == 1008
        return connection

    connection = asyncio.run(story())
    wait_until(lambda: any("refused" in line["message"] for line in lines(hub)))
    wait_until(lambda: sum(line.get("connection") == connection for line in lines(hub)) == 2)
    opened, closed = (line for line in lines(hub) if line.get("connection") == connection)
    assert opened["message"] == f"opened {connection} for user:alice from 127.0.0.1, request from-the-proxy-7"
    assert closed["message"].startswith(f"closed {connection} of user:alice: ")
    [refusal] = [line for line in lines(hub) if "refused" in line["message"]]
    assert refusal["message"] == "refused 127.0.0.1: token_malformed, request from-the-proxy-7"
    [started] = [line for line in lines(hub) if line["message"].startswith("started ")]
    assert (started["level"], started["logger"]) == ("info", "hub.server")
    assert all(line["time"].endswith("Z") for line in lines(hub))
    assert token not in hub.log()
    assert "eyJ" not in hub.log()


@pytest.mark.parametrize("path", ["/healthz", "/nowhere"])
def test_an_answer_has_the_id_of_its_request(hub: HubProcess, path: str) -> None:
    said = "4bf92f3577b34da6a3ce929d0e0e4736:a/b+c=@x_y"
    assert hub.http.get(path, headers={"X-Request-ID": said}).headers["X-Request-ID"] == said
    first, second = (hub.http.get(path).headers["X-Request-ID"] for _ in range(2))
    assert first.startswith("r_")
    assert first != second


@pytest.mark.parametrize("said", ["two words", 'quote"', "x" * 129, "{}", "é"])
def test_what_is_no_id_is_not_taken(hub: HubProcess, said: str) -> None:
    answer = hub.http.get("/healthz", headers=[(b"X-Request-ID", said.encode("latin-1"))])
    assert answer.headers["X-Request-ID"].startswith("r_")


@pytest.mark.parametrize("durable", [True, False])
def test_a_publish_that_says_one_is_told_it(hub: HubProcess, durable: bool) -> None:
    event = {"type": "t", "to": {"all": True}, "durable": durable}
    answer = hub.http.post("/v1/events", json=event, headers=hub.admin_headers() | {"X-Request-ID": "mine"})
    assert answer.is_success
    assert answer.headers["X-Request-ID"] == "mine"
    # Not the next one on the same connection.
    assert "X-Request-ID" not in hub.http.post("/v1/events", json=event, headers=hub.admin_headers()).headers


def test_a_publish_that_is_refused_is_told_it_too(hub: HubProcess) -> None:
    answer = hub.http.post("/v1/events", json={}, headers=hub.admin_headers() | {"X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (422, "mine")


def record(message: str, *args: Any, failed: bool = False) -> logging.LogRecord:
    information = None
    if failed:
        try:
            raise RuntimeError("at /v1/ws?token=abc, {'password': 'opensesame'}")
        except RuntimeError:
            information = sys.exc_info()
    return logging.LogRecord("hub.x", logging.ERROR, __file__, 1, message, args, information)


def test_no_secret_and_no_second_line_whatever_is_logged() -> None:
    said = record('line\none\u2028"two" ?token=%s {"password": "%s"}', "abc", "open\\sesame", failed=True)
    for formatter in (JsonFormatter(), TextFormatter()):
        text = formatter.format(said)
        assert "abc" not in text
        assert "sesame" not in text
    text = JsonFormatter().format(said)
    assert len(text.splitlines()) == 1
    read = json.loads(text)
    assert read["message"].startswith('line\none\u2028"two" ?token=[redacted]')
    assert "RuntimeError" in read["exception"]


def test_what_is_written_for_a_request_has_its_id() -> None:
    token = request_id.current.set("hubk_abcdefgh12345678")
    try:
        for formatter in (JsonFormatter(), TextFormatter()):
            assert "abcdefgh" not in formatter.format(record("x")), "a caller may say anything there"
    finally:
        request_id.current.reset(token)
    token = request_id.current.set("r-1")
    try:
        assert json.loads(JsonFormatter().format(record("x")))["request"] == "r-1"
        assert TextFormatter().format(record("x")).endswith("hub.x: x [r-1]")
    finally:
        request_id.current.reset(token)
    assert "request" not in json.loads(JsonFormatter().format(record("x")))
