"""How a database comes to the schema of tables.py, from nothing or from any earlier one (Alembic)."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

FIRST = "0001"


def upgrade(connection: sa.Connection) -> None:
    """In the caller's transaction. A database that already has the first schema without saying so is adopted."""
    config = settings()
    config.attributes["connection"] = connection
    there = sa.inspect(connection)
    if there.has_table("alerts") and not there.has_table("alembic_version"):
        command.stamp(config, FIRST)
    command.upgrade(config, "head")


def settings() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
