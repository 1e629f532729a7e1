"""The examples, each started by its one command, and used as a person would: with a browser where it has a page."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import chromium  # noqa: F401
from tests.hub_process import clean_environment, free_port

EXAMPLES = Path(__file__).parents[2] / "examples"


class Example:
    """One of them, running."""

    def __init__(self, name: str, data: Path) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = clean_environment() | {"PORT": str(self.port), "HUB_DATA_DIR": str(data / "data")}
        self.log = data / "log"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-W", "error", str(EXAMPLES / f"{self.name}.py")]
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"{self.url}/hub/readyz", trust_env=False).raise_for_status()
                return
            except httpx.TransportError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(20) in (0, -15), self.log.read_text()
        assert "Traceback" not in self.log.read_text(), self.log.read_text()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], Example]]:
    made: list[Example] = []

    def start(name: str) -> Example:
        made.append(Example(name, tmp_path))
        return made[-1]

    yield start
    for example in made:
        if example.process.poll() is None:
            example.kill()


@pytest.fixture
def pages(chromium: Browser) -> Iterator[Callable[[], Page]]:  # noqa: F811
    """New pages of one person's browser; none may have had an error."""
    context = chromium.new_context()
    errors: list[str] = []

    def new() -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield new
    context.close()
    assert not errors


def test_every_example_is_tested() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {name.removeprefix("test_") for name in globals() if name.removeprefix("test_") in names}


@pytest.mark.browser
def test_ai_job(run: Callable[[str], Example], pages: Callable[[], Page]) -> None:
    example = run("ai_job")
    page = pages()
    page.goto(example.url)
    page.get_by_role("button").click()
    text = page.locator("article p")
    expect(text).not_to_be_empty()
    streamed = text.text_content()
    assert streamed
    expect(page.locator("article.done p")).to_contain_text("every event … ")
    result = text.text_content()
    assert result is not None
    assert streamed.strip().split()[0] in result
    assert len(result.split()) == 63
    page.reload()
    expect(page.locator("article.done p")).to_have_text(result)
    example.stop()


@pytest.mark.browser
def test_order_status(run: Callable[[str], Example], pages: Callable[[], Page]) -> None:
    example = run("order_status")
    page = pages()
    page.goto(example.url)
    page.get_by_role("button").click()
    expect(page.locator("td.paid.reached")).to_be_visible()
    example.kill()
    example.start()
    expect(page.locator("td.delivered.reached")).to_be_visible()
    expect(page.locator("tr")).to_have_count(1)
    example.stop()


@pytest.mark.browser
def test_chat(run: Callable[[str], Example], pages: Callable[[], Page]) -> None:
    example = run("chat")
    alice, bob = pages(), pages()
    for page, name in ((alice, "alice"), (bob, "bob")):
        page.goto(f"{example.url}/?name={name}")
    expect(alice.locator("#people")).to_have_text("alice, bob")
    bob.get_by_label("Message").press_sequentially("Hello <b>all</b>")
    expect(alice.locator("#typing")).to_have_text("bob is typing …")
    bob.get_by_role("button").click()
    for page in (alice, bob):
        expect(page.locator("#said li")).to_have_text(["bob: Hello <b>all</b>"])
    expect(alice.locator("#typing")).to_be_empty()
    example.stop()


def test_queue_worker(run: Callable[[str], Example]) -> None:
    example = run("queue_worker")
    with httpx.Client(base_url=example.url, trust_env=False, timeout=30) as http:
        for number in (6469693230, 97):
            assert http.post(f"/numbers/{number}").status_code == 202
        assert http.post("/numbers/1").status_code == 422
        wait_for_results(http, 2)
        http.post("/numbers/1000000007")
        example.kill()
        example.start()
        results = wait_for_results(http, 3)
    assert results == [
        {"number": 6469693230, "factors": [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]},
        {"number": 97, "factors": [97]},
        {"number": 1000000007, "factors": [1000000007]},
    ]
    example.stop()


def wait_for_results(http: httpx.Client, count: int) -> list[object]:
    deadline = time.monotonic() + 30
    while True:
        results: list[object] = http.get("/results").json()
        if len(results) >= count:
            return results
        assert time.monotonic() < deadline
        time.sleep(0.05)
