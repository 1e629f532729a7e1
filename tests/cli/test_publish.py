"""``hub publish`` against a real hub."""

from __future__ import annotations

import json
import re

import pytest

from tests.hub_process import HubProcess

from .conftest import PASSWORD, Run


def test_publish_prints_the_receipt(run: Run, as_shop: None) -> None:
    first = run("publish", "order.paid", "--data", '{"order": 7}', "--to-topic", "news", "--id", "order-7")
    assert re.fullmatch(r"order-7  \d{4}-\d\d-\d\dT[\d:.]+Z  cursor \w+:\d+\n", first.out)
    again = run("publish", "order.paid", "--data", '{"order": 7}', "--to-topic", "news", "--id", "order-7", "--json")
    receipt = json.loads(again.out)
    assert receipt["id"] == "order-7"
    assert receipt["duplicate"]
    assert receipt["cursor"] in first.out
    passing = run("publish", "typing", "--to-topic", "news", "--ephemeral")
    assert passing.out.endswith("  not kept\n")
    assert (
        "duplicate"
        in run("publish", "order.paid", "--data", '{"order": 7}', "--to-topic", "news", "--id", "order-7").out
    )


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 2, "Say who gets it: --to-user, --to-topic or --to-all."),
        (["--to-all", "--data", "{order: 7}"], 2, "--data is not JSON"),
        (["--to-all", "--data", "NaN"], 2, "--data is not JSON (JSON has no NaN)"),
        (["--to-topic", "a:*"], 1, "topic_invalid"),
        (["--to-topic", "news", "--id", "order-8", "--data", "8"], 1, "id_conflict"),
        (["--to-topic", "news", "--data", json.dumps("x" * 70_000)], 1, "event_too_large"),
    ],
)
def test_publications_that_are_refused(run: Run, as_shop: None, arguments: list[str], code: int, sentence: str) -> None:
    run("publish", "order.paid", "--data", "7", "--to-topic", "news", "--id", "order-8")
    refused = run("publish", "order.paid", *arguments)
    assert (refused.code, refused.out) == (code, "")
    assert sentence in refused.err
    assert refused.err.count("\n") == 1


def test_publishing_without_the_right_to(run: Run, hub: HubProcess, secret: str) -> None:
    refused = run("publish", "x", "--to-all", "--url", hub.url, "--username", "alice", "--password", PASSWORD)
    assert refused.code == 1
    assert "forbidden" in refused.err
