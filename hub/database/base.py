"""What all tables have in common, whichever part of the hub keeps them. Knows no other module of the hub.

The same models run on SQLite and on PostgreSQL, so what differs between the two is settled here: text is compared and
sorted by code points on both and has no length that only one of them would enforce; ids are 64 bits on both;
constraints have the same names, by which migrations find them. Times are Unix seconds, as floats.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import BigInteger, Dialect, Integer, MetaData, Text, event
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator, TypeEngine

ALONE = "alone"
"""Where a session keeps that its transaction is the only one that writes (see ``Store.write``)."""


class _PostgresText(Text):
    render_bind_cast = True
    """The driver has to be told that a parameter is text where the statement does not say so."""


class Words(TypeDecorator[str]):
    """Text, of any length: lengths are the code's to check, in one place, for every database.

    What PostgreSQL cannot hold, NUL and halves of surrogate pairs, is replaced on both. So somebody who tries to log in
    under such a name is nobody, and no error of ours.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """See ``TypeDecorator``."""
        # By code points, as SQLite and Python do: not by the language that a server happened to be set up with.
        return _PostgresText(collation="C") if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """See ``TypeDecorator``."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


BIG = BigInteger().with_variant(Integer, "sqlite")
"""A number of 64 bits. (On SQLite every number has them; only one called INTEGER can be made up by the database.)"""


class Base(DeclarativeBase):
    """The root of the models."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {str: Words}
    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pk",
            "fk": "%(table_name)s_%(column_0_name)s_fk",
            "uq": "%(table_name)s_%(column_0_name)s_unique",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )
    written_alone: ClassVar[bool] = False
    """Whether rows are only ever added by a transaction that is the only one to write, since their order matters: their
    ids then become visible in order, and each can be chained to the one before it."""


@event.listens_for(Session, "before_flush")
def _refuse_company(session: Session, _context: Any, _instances: Any) -> None:
    """A bug that no test of one process would find is found by the first."""
    if not session.info.get(ALONE):
        for row in session.new:
            if isinstance(row, Base) and row.written_alone:
                raise RuntimeError(f"{type(row).__name__} is written in a transaction that others write beside.")
