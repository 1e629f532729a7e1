"""What the writers of these tables have in common: adding to counters, and statements on many rows.

Knows models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Delete, Table, Update, bindparam, delete, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.database.base import Base
from hub.inbox.models import Gap, Lane, Tally

LEVELS = 4
_BITS = 6
_MOST = 500
"""Values that stand in one statement."""

_T = TypeVar("_T")


def table(model: type[Base]) -> Table:
    """The table of a model: rows without objects, of which there would be thousands."""
    found = model.__table__
    assert isinstance(found, Table)
    return found


def pieces(values: Sequence[_T], size: int = _MOST) -> Iterator[Sequence[_T]]:
    """The values, some at a time."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


async def add(db: AsyncConnection, model: type[Base], sums: Counter[tuple[Any, ...]]) -> None:
    """Add to the counters ``n`` of a table, whether or not there is a row yet. Keys are in the order of its columns."""
    into = table(model)
    # The same in both, and spelt the same.
    insert = sqlite.insert(into) if db.dialect.name == "sqlite" else postgresql.insert(into)
    names = [column.name for column in into.primary_key.columns]
    rows = [dict(zip(names, key, strict=True), n=n) for key, n in sums.items() if n]
    if rows:
        known = into.c.n + insert.excluded.n
        await db.execute(insert.on_conflict_do_update(index_elements=names, set_={"n": known}), rows)


async def add_gaps(db: AsyncConnection, ordinals: Sequence[tuple[int, int]]) -> None:
    """These ordinals (each with its lane) have no entry any more."""
    sums: Counter[tuple[Any, ...]] = Counter()
    lanes: Counter[int] = Counter()
    for lane, ordinal in ordinals:
        lanes[lane] += 1
        for level in range(LEVELS):
            sums[lane, level, ordinal >> (_BITS * level)] += 1
    if sums:
        await add(db, Gap, sums)
        changed = update_by(Lane, "id").values(gaps=Lane.gaps + parameter("more"))
        await db.execute(changed, [{"_id": lane, "_more": n} for lane, n in lanes.items()])


def gap_blocks(ordinal: int) -> list[tuple[int, int, int]]:
    """The blocks whose sum is the gaps after ``ordinal``: level, after which block, before which."""
    return [
        (
            level,
            ordinal >> (_BITS * level),
            ((ordinal >> (_BITS * (level + 1))) + 1) << _BITS if level < LEVELS - 1 else 2**62,
        )
        for level in range(LEVELS)
    ]


def below(ordinal: int) -> list[tuple[int, int]]:
    """The blocks that end at ``ordinal`` or before: level, before which block."""
    return [(level, (ordinal + 1) >> (_BITS * level)) for level in range(LEVELS)]


async def add_tallies(db: AsyncConnection, sums: Counter[tuple[Any, ...]]) -> None:
    """Add to users' tallies: by owner and lane."""
    await add(db, Tally, sums)


def parameter(name: str) -> BindParameter[Any]:
    """A parameter of a statement on many rows: ``_name`` in each. (Without ``_`` it would be taken for the column's new
    value.)"""
    return bindparam(f"_{name}")


def update_by(model: type[Base], *names: str) -> Update:
    """An update of the rows whose columns are the parameters of the same name with ``_`` in front."""
    into = table(model)
    return update(into).where(*(into.c[name] == parameter(name) for name in names))


def delete_by(model: type[Base], *names: str) -> Delete:
    """The same for a deletion."""
    into = table(model)
    return delete(into).where(*(into.c[name] == parameter(name) for name in names))
