"""The memory of good tokens: it ends with each of them, and has an end itself."""

from __future__ import annotations

import pytest

from hub.errors import HubError
from hub.identity.verified import Memory, Verified


def good(expires_at: float) -> Verified:
    return Verified(
        subject="alice", kind="user", session="s", expires_at=expires_at, version=0, issued_at=0, token_id="j"
    )


def test_a_remembered_token_still_ends() -> None:
    memory = Memory()
    verified = good(100.0)
    memory.keep("t", verified)
    assert memory.recall("t", 99.9) is verified
    with pytest.raises(HubError) as refused:
        memory.recall("t", 100.0)
    assert refused.value.code == "token_expired"
    assert "t" not in memory


def test_the_memory_is_bounded() -> None:
    memory = Memory(3)
    for name in "abc":
        memory.keep(name, good(100.0))
    assert memory.recall("a", 0)
    memory.keep("d", good(100.0))
    assert len(memory) == 3
    assert "a" in memory, "used lately, so kept"
    assert "b" not in memory
    memory.clear()
    assert len(memory) == 0
    assert memory.recall("a", 0) is None
