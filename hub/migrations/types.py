"""The types of columns, as migrations name them: frozen here, whatever becomes of the models."""

from __future__ import annotations

import sqlalchemy as sa

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
