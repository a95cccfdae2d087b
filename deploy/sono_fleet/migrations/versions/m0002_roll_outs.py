"""Roll-outs: reports of updates, tags, sites, releases, waves and their members, orders, the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for name, kind in (
        ("online", sa.Boolean()),
        ("stopped", sa.Boolean()),
        ("seen_at", sa.String(32)),
        ("bundle", sa.String(160)),
        ("bundle_sha256", sa.String(64)),
        ("profile", sa.String(200)),
        ("bundle_at", sa.String(32)),
    ):
        op.add_column("devices", sa.Column(name, kind))
    _reports()
    _fleet()
    _roll_outs()
    _audit()


def _name(column: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(column, sa.String(64), primary_key=key, nullable=False)


def _reports() -> None:
    op.create_table(
        "updates",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        _name("site"),
        _name("device"),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("rollout", sa.String(64), nullable=False, server_default=""),
        sa.Column("serial", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("phase", sa.String(16), nullable=False, server_default=""),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("received_at", sa.String(32), nullable=False),
        sa.UniqueConstraint("site", "device", "epoch", "sequence", name="one_report"),
    )
    op.create_index("updates_by_rollout", "updates", ["rollout", "id"])


def _fleet() -> None:
    op.create_table("device_tags", _name("site", key=True), _name("device", key=True), _name("tag", key=True))
    op.create_table(
        "sites",
        _name("site", key=True),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("windows", sa.Text, nullable=False),
    )
    op.create_table(
        "releases",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        _name("name"),
        _name("version"),
        sa.Column("target", sa.String(300), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("site", sa.String(64), nullable=False, server_default=""),
        sa.Column("bundle", sa.String(160), nullable=False, server_default=""),
        sa.Column("added_at", sa.String(32), nullable=False),
        sa.UniqueConstraint("kind", "name", "version", name="one_release"),
    )
    op.create_table(
        "fleet_switch",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
    )


def _roll_outs() -> None:
    op.create_table(
        "rollouts",
        _name("id", key=True),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("course", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("heard", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
    )
    op.create_table(
        "rollout_members",
        _name("rollout", key=True),
        _name("site", key=True),
        _name("device", key=True),
        sa.Column("wave", sa.Integer, nullable=False),
        sa.Column("standing", sa.String(16), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "desired",
        _name("site", key=True),
        _name("device", key=True),
        sa.Column("serial", sa.BigInteger, nullable=False),
        sa.Column("rollout", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("published", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_desired_published", "desired", ["published"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column(
            "sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False
        ),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("rollout", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


APPEND_ONLY = {
    "sqlite": tuple(
        f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit"
        " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ),
    "postgresql": (
        """CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$""",
        """CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
           FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()""",
    ),
}
