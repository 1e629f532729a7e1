"""Write the next migration: what the models say and the migrations so far do not make. Then read what it wrote.

``make migration NAME="what it does"``.
"""

from __future__ import annotations

import re
import sys

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from hub.database import schema


def main(what: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    with create_engine("sqlite://").begin() as connection:
        schema.upgrade(connection)
        config.attributes["connection"] = connection
        number = int(schema.head()) + 1
        command.revision(config, re.sub(r"\W+", " ", what), autogenerate=True, rev_id=f"{number:04}")


if __name__ == "__main__":
    main(sys.argv[1])
