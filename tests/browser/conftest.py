"""A Chromium for the tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.browser.console import Console
from tests.hub_process import HubProcess

expect.set_options(timeout=15_000)

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]

OpenConsole = Callable[..., Console]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a module. Not longer: while it is there, its event loop keeps others from running."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs Debian's chromium on the PATH (apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_console(chromium: Browser) -> Iterator[OpenConsole]:
    """Opens the console of a hub, each time as another person's browser unless a ``context`` is given.

    After the test every tab must be without a fault: no exception, no message, no violation of the page's policy.
    """
    consoles: list[Console] = []
    contexts: list[BrowserContext] = []

    def open_one(hub: HubProcess, *, context: BrowserContext | None = None, **options: object) -> Console:
        if context is None:
            context = chromium.new_context(**options)  # type: ignore[arg-type]
            contexts.append(context)
        console = Console(context.new_page(), hub.url)
        consoles.append(console)
        return console.open()

    yield open_one
    try:
        for console in consoles:
            console.assert_clean()
    finally:
        for context in contexts:
            context.close()
