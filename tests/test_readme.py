"""Every command that README and the tutorial show is run, as it stands, in a fresh copy of the project."""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .hub_process import clean_environment, free_port

ROOT = Path(__file__).parent.parent
ADDRESS = "127.0.0.1:8000"
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.timeout(600)


README, TUTORIAL = "README.md", "docs/tutorial.md"


def blocks(page: str = README) -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / page).read_text())


def tour(page: str, running: Running) -> str:
    """Run what the page shows, in its order; what that printed."""
    script = []
    for kind, text in blocks(page):
        if kind == "sh" and "make " not in text:
            script.append(text)
        elif kind == "python":
            script.append(f"python - <<'PYTHON'\n{text}PYTHON\n")
    return running.shell("\n".join(script).replace(ADDRESS, f"127.0.0.1:{running.port}"))


class Running:
    """README's first command, running in a copy of what git knows of the project."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "hub"
        self.port, self.page_port = free_port(), free_port()
        self.environment = clean_environment() | {
            "HUB_PORT": str(self.port),
            "HUB_ALLOWED_ORIGINS": f"http://127.0.0.1:{self.page_port}",
        }
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in filter(None, listed.stdout.split("\0")):
            source, target = ROOT / name, self.directory / name
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        self.output = directory / "output"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                ["make", "run"],
                cwd=self.directory,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def signal(self, sig: signal.Signals) -> int:
        """Signal make and the hub, as a terminal does; make's exit code."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, sig)
        return self.process.wait(30)

    def banner(self) -> str:
        """What it prints once it serves."""
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline:
            text = self.output.read_text()
            if "console" in text:
                return text
            assert self.process.poll() is None, text
            time.sleep(0.2)
        raise AssertionError(f"not up in time:\n{self.output.read_text()}")

    def shell(self, script: str) -> str:
        """Run a script as a person at a second terminal would."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.directory,
            env=self.environment | {"HUB_URL": f"http://127.0.0.1:{self.port}"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    hub = Running(tmp_path_factory.mktemp("fresh"))
    try:
        yield hub
    finally:
        hub.signal(signal.SIGTERM)


def test_make_run_works_in_a_fresh_copy_and_says_how_to_log_in(running: Running) -> None:
    banner = running.banner()
    assert f"http://127.0.0.1:{running.port}" in banner
    assert re.search(r"log in as +admin", banner)
    assert re.search(r"password +\S{12,}", banner)
    assert (running.directory / "data" / "signing.key").stat().st_mode & 0o777 == 0o600


def test_the_make_targets_that_it_shows_exist() -> None:
    shown = {
        line.split()[1] for kind, text in blocks() if kind == "sh" for line in text.splitlines() if "make " in line
    }
    assert shown == {"run", "test"}
    for target in shown:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_tour_works_as_shown(running: Running) -> None:
    running.banner()
    output = tour(README, running)
    assert output.count('"duplicate":false') == 1
    assert output.count('"duplicate":true') == 1
    assert "order.sent {'order': 7}" in output
    assert output.index("order.paid") < output.index("order.sent {'order': 7}")
    assert "event: welcome\n" in output
    assert re.search(r'^data: {"type":"event",.*"type":"order.sent"', output, re.MULTILINE)


@pytest.mark.browser
def test_event_source_works_as_shown(running: Running) -> None:
    if shutil.which("chromium") is None:
        pytest.skip("needs Debian's chromium on the PATH")
    from playwright.sync_api import sync_playwright

    running.banner()
    [script] = [text for kind, text in blocks() if kind == "js"]
    token = running.shell(".venv/bin/hub token --username alice --password wonderland").strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{running.port}/healthz")
        with page.expect_console_message(lambda message: "order.sent" in message.text, timeout=15_000) as said:
            script = script.replace(ADDRESS, f"127.0.0.1:{running.port}").replace("/v1/sse?", "/v1/sse?after=earliest&")
            page.evaluate(f"(token) => {{ {script} }}", token)
        assert said.value.text == "user:alice order.sent {order: 7}"
        browser.close()


def test_the_tutorial_works_as_shown(running: Running) -> None:
    running.banner()
    output = tour(TUTORIAL, running)
    assert '"duplicate":false' in output


@pytest.mark.browser
@pytest.mark.parametrize(
    ("source", "first"),
    [(README, 'order.paid {"order":7}'), (TUTORIAL, "harbour: 240 frames")],
    ids=("readme", "tutorial"),
)
def test_the_page_works_as_shown(running: Running, tmp_path: Path, source: str, first: str) -> None:
    if shutil.which("chromium") is None:
        pytest.skip("needs Debian's chromium on the PATH")
    from playwright.sync_api import expect, sync_playwright

    running.banner()
    [page_text] = [text for kind, text in blocks(source) if kind == "html"]
    (tmp_path / "index.html").write_text(page_text.replace(ADDRESS, f"127.0.0.1:{running.port}"))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", running.page_port), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=CHROMIUM,
            )
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{running.page_port}/")
            expect(page.locator("#news li").first).to_have_text(first)
            browser.close()
        server.shutdown()


def test_ctrl_c_ends_it_quietly(running: Running) -> None:
    running.banner()
    running.signal(signal.SIGINT)
    assert "Traceback" not in running.output.read_text()
