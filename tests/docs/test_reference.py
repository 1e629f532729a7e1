"""The references of settings and commands are what the code says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from hub.settings import Settings
from tests.cli.test_help import ALL

ROOT = Path(__file__).parents[2]


def test_they_are_up_to_date() -> None:
    """Otherwise: ``make reference``."""
    command = [sys.executable, str(ROOT / "docs/site/reference.py"), "--check"]
    made = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "80"})
    assert made.returncode == 0, made.stderr


def test_everything_is_in_them() -> None:
    shown = (ROOT / "docs/reference/settings.md").read_text()
    assert re.findall(r"^\| `HUB_(\w+)` \|", shown, re.MULTILINE) == [name.upper() for name in Settings.model_fields]
    headings = set(re.findall(r"^#+ (hub.*)$", (ROOT / "docs/reference/cli.md").read_text(), re.MULTILINE))
    assert headings == {" ".join(("hub", *path)) for path, _ in ALL}
