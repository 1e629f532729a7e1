"""What one tenant sees of the audit log: the lines that are about its own people, with local names.

A line is about them if one of them did it, or if it was done to one of them. Of an operator, who is nobody of theirs,
they are told that it was an operator. Hashes stay those of the log, which a part of it cannot be checked by. Pure;
knows tenancy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub import tenancy

OPERATOR = "operator"
"""The actor of what others than the tenant's own people did to it."""


def seen_by(tenant: str, line: Mapping[str, Any]) -> dict[str, Any]:
    """A line, as ``audit.described`` gives it, as that tenant sees it. It is about the tenant."""
    prefix = tenancy.join(tenant, "")
    seen: dict[str, Any] = {name: _local(value, prefix) for name, value in line.items()}
    if not line["actor"].startswith(prefix) and line["actor"] != "anonymous":
        seen |= {"actor": OPERATOR, "session": "", "address": ""}
    return seen


def _local(value: Any, prefix: str) -> Any:
    """With the names in it, however deep they stand, without their tenant."""
    if isinstance(value, str):
        return value.removeprefix(prefix)
    if isinstance(value, list):
        return [_local(item, prefix) for item in value]
    if isinstance(value, dict):
        return {name: _local(item, prefix) for name, item in value.items()}
    return value
