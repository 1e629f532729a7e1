"""``Buffer``: the asynchronous one, without ``await``."""

from __future__ import annotations

import pytest
from hub_client import Publisher, PublishFailed, Refused

from tests.hub_process import HubProcess


def test_without_await(shared_hub: HubProcess) -> None:
    made = shared_hub.add_service("plain-buffer")
    credentials = {"service_id": made["id"], "service_secret": made["secret"]}
    failed: list[str | None] = []
    with Publisher(shared_hub.url, **credentials) as publisher:
        with publisher.buffer(on_failed=lambda event, _: failed.append(event.id)) as buffer:
            futures = [buffer.add("n", number, topics=["plain"]) for number in range(2500)]
            buffer.flush()
            assert len({future.result(1).cursor for future in futures}) == 2500
            assert (len(buffer), buffer.pending_bytes, buffer.unsent()) == (0, 0, [])
            bad = buffer.add("hub.x", topics=["plain"], id="bad")
            with pytest.raises(Refused, match="hub"):
                bad.result(10)
            with pytest.raises(PublishFailed):
                buffer.flush()
        assert failed == ["bad"]
