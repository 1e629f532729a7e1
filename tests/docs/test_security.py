"""What docs/SECURITY.md says is shown by tests is: they are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_answer_to_a_threat_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "SECURITY.md").read_text()
    _, _, table = text.partition("| threat | answer | shown by |\n|---|---|---|\n")
    rows = table.partition("\n\n")[0].splitlines()
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row.split("|")[3])
        assert named, row
        assert [name for name in named if not (ROOT / name).is_file()] == []
