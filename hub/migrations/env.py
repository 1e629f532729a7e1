"""What Alembic runs to apply migrations, and to compare the models with a database (``make migration``).

The connection is given by whoever calls Alembic (``hub.database.schema``), and so is the transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from alembic import context

from hub.database.base import BIG, Base, Words
from hub.migrations import models  # noqa: F401

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext


def _rendered(kind: str, item: Any, autogen_context: AutogenContext) -> str | Literal[False]:
    """Our own types, as a migration that is made calls them."""
    if kind == "type" and isinstance(item, Words):
        autogen_context.imports.add("from hub.migrations.types import WORDS")
        return "WORDS"
    if kind == "type" and item is BIG:
        autogen_context.imports.add("from hub.migrations.types import BIG")
        return "BIG"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite changes a table by making another one; both databases can take back what a transaction did to the schema.
    render_as_batch=True,
    transactional_ddl=True,
    compare_type=True,
    compare_server_default=True,
    render_item=_rendered,
)
with context.begin_transaction():
    context.run_migrations()
