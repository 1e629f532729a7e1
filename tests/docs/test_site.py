"""The documentation builds, its links lead somewhere, and it can be read without a network and without a server."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import Browser, expect

ROOT = Path(__file__).parents[2]
PAGES = (
    "index",
    "tutorial",
    "protocol",
    "explanation/architecture",
    "migrating/pusher",
    "reference/http",
    "reference/stream",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Strict: a link to nowhere, or a page that no menu leads to, fails the build."""
    if not (ROOT / "docs" / "site" / "node_modules").is_dir():
        pytest.skip("make test installs what the documentation loads")
    target = tmp_path_factory.mktemp("docs")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(target)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return target


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_a_page_opened_as_a_file_loads_nothing_from_elsewhere(site: Path, chromium: Browser, name: str) -> None:
    page = chromium.new_page()
    wanted: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: wanted.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.goto((site / f"{name}.html").as_uri(), wait_until="networkidle")
    assert [url for url in wanted if not url.startswith(("file:", "data:", "blob:"))] == []
    assert faults == []
    page.close()


@pytest.mark.browser
def test_the_references_show_the_calls_and_the_frames(site: Path, chromium: Browser) -> None:
    page = chromium.new_page()
    page.goto((site / "reference" / "http.html").as_uri())
    expect(page.get_by_text("/v1/events", exact=True).first).to_be_visible()
    page.goto((site / "reference" / "stream.html").as_uri())
    expect(page.get_by_text("presenceChange").first).to_be_visible()
    page.close()


def test_the_architecture_is_that_of_the_imports() -> None:
    picture = _architecture().draw(ROOT)
    boxes = set(re.findall(r"<text[^>]*>([^<]+)</text>", picture))
    modules = {path.stem for path in (ROOT / "hub").glob("*.py")} - {"__init__"}
    packages = {f"{path.parent.name}/" for path in (ROOT / "hub").glob("*/__init__.py")}
    assert modules | packages == boxes, "a module that no layer of pyproject.toml names"
    assert picture.count("<path") > len(boxes)


def _architecture() -> ModuleType:
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "site" / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
