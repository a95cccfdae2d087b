"""Who may look and order (accounts), what a device is (identities), and how far its scores have moved (drift)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _people()
    _identities()
    _drift()


def _name(column: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(column, sa.String(64), primary_key=key, nullable=False)


def _moment(column: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(column, sa.String(32), nullable=nullable)


def _people() -> None:
    op.create_table(
        "accounts",
        _name("name", key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        _moment("created_at"),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        _moment("locked_until", nullable=True),
    )
    op.create_table(
        "sessions",
        sa.Column("token_sha256", sa.String(64), primary_key=True),
        _name("name"),
        _moment("begun_at"),
        _moment("seen_at"),
        _moment("ends_at"),
    )


def _identities() -> None:
    op.create_table(
        "identities",
        sa.Column("serial", sa.String(64), primary_key=True),
        _name("site"),
        _name("device"),
        sa.Column("line", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        _moment("issued_at"),
        _moment("ends_at"),
        _moment("revoked_at", nullable=True),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("identities_by_device", "identities", ["site", "device"])
    op.create_table(
        "enrolments",
        sa.Column("code_sha256", sa.String(64), primary_key=True),
        _name("site"),
        _name("device"),
        sa.Column("actor", sa.String(100), nullable=False),
        _moment("made_at"),
        _moment("ends_at"),
        _moment("used_at", nullable=True),
    )


def _drift() -> None:
    op.create_table(
        "drift_hours",
        _name("site", key=True),
        _name("device", key=True),
        sa.Column("hour", sa.String(32), primary_key=True),
        sa.Column("bundle_sha256", sa.String(64), primary_key=True),
        sa.Column("frames", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        _moment("received_at"),
    )
    op.create_table(
        "drift_standings",
        _name("site", key=True),
        _name("device", key=True),
        sa.Column("bundle_sha256", sa.String(64), nullable=False),
        sa.Column("standing", sa.String(16), nullable=False),
        sa.Column("measure", sa.String(32), nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("frames", sa.BigInteger, nullable=False),
        _moment("since"),
        _moment("at"),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "drift_references",
        sa.Column("bundle_sha256", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        _moment("made_at"),
    )
    op.create_table(
        "fleet_alerts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        _name("site"),
        _name("device"),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        _moment("raised_at"),
        _moment("cleared_at", nullable=True),
    )
