"""The fleet's tables. A change here is a new file in migrations/versions, too."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

schema = sa.MetaData()
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _name(column: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(column, sa.String(64), primary_key=key, nullable=False)


def _moment(column: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(column, sa.String(32), nullable=nullable)


alerts = sa.Table(
    "alerts",
    schema,
    sa.Column("id", Id, primary_key=True),
    _name("site"),
    _name("device"),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
    sa.Column("received_at", sa.String(32), nullable=False),
    sa.UniqueConstraint("site", "device", "epoch", "sequence", name="one_delivery"),
)
updates = sa.Table(
    "updates",
    schema,
    sa.Column("id", Id, primary_key=True),
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
    sa.Index("updates_by_rollout", "rollout", "id"),
)
progress = sa.Table(
    "progress",
    schema,
    _name("site", key=True),
    _name("device", key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("contiguous", sa.BigInteger, nullable=False),
    sa.Column("duplicates", sa.BigInteger, nullable=False),
)
devices = sa.Table(
    "devices",
    schema,
    _name("site", key=True),
    _name("device", key=True),
    sa.Column("state", sa.Text),
    sa.Column("state_at", sa.String(32)),
    sa.Column("health", sa.Text),
    sa.Column("health_at", sa.String(32)),
    sa.Column("online", sa.Boolean),
    sa.Column("stopped", sa.Boolean),
    sa.Column("seen_at", sa.String(32)),
    sa.Column("bundle", sa.String(160)),
    sa.Column("bundle_sha256", sa.String(64)),
    sa.Column("profile", sa.String(200)),
    sa.Column("bundle_at", sa.String(32)),
)
STALE = timedelta(minutes=5)
"""One that says it is online and was not heard of for so long is stale: ten times it should have said how it is."""
device_tags = sa.Table(
    "device_tags", schema, _name("site", key=True), _name("device", key=True), _name("tag", key=True)
)
sites = sa.Table(
    "sites",
    schema,
    _name("site", key=True),
    sa.Column("timezone", sa.String(64), nullable=False),
    sa.Column("windows", sa.Text, nullable=False),
)
releases = sa.Table(
    "releases",
    schema,
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
rollouts = sa.Table(
    "rollouts",
    schema,
    _name("id", key=True),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("course", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("heard", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False),
)
members = sa.Table(
    "rollout_members",
    schema,
    _name("rollout", key=True),
    _name("site", key=True),
    _name("device", key=True),
    sa.Column("wave", sa.Integer, nullable=False),
    sa.Column("standing", sa.String(16), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
desired = sa.Table(
    "desired",
    schema,
    _name("site", key=True),
    _name("device", key=True),
    sa.Column("serial", sa.BigInteger, nullable=False),
    sa.Column("rollout", sa.String(64), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("published", sa.BigInteger, nullable=False, index=True),
)
audit = sa.Table(
    "audit",
    schema,
    sa.Column("sequence", Id, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("actor", sa.String(100), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("rollout", sa.String(64), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
switch = sa.Table(
    "fleet_switch",
    schema,
    sa.Column("name", sa.String(16), primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("actor", sa.String(100), nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
)
"""A row `stop-all` is there while everything is stopped."""
accounts = sa.Table(
    "accounts",
    schema,
    _name("name", key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("secret", sa.Text, nullable=False),
    _moment("created_at"),
    sa.Column("disabled", sa.Boolean, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    _moment("locked_until", nullable=True),
)
"""People: `role` is viewer, operator or approver; `secret` an argon2id hash."""
sessions = sa.Table(
    "sessions",
    schema,
    sa.Column("token_sha256", sa.String(64), primary_key=True),
    _name("name"),
    _moment("begun_at"),
    _moment("seen_at"),
    _moment("ends_at"),
)
identities = sa.Table(
    "identities",
    schema,
    sa.Column("serial", sa.String(64), primary_key=True),
    _name("site"),
    _name("device"),
    sa.Column("line", sa.String(64), nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    _moment("issued_at"),
    _moment("ends_at"),
    _moment("revoked_at", nullable=True),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Index("identities_by_device", "site", "device"),
)
"""Every certificate that was ever issued; `serial` in hexadecimal, `fingerprint` its sha256. `line` is the serial of
the first of those that renewed each other. `site` empty: a service of the fleet, `device` its name."""
enrolments = sa.Table(
    "enrolments",
    schema,
    sa.Column("code_sha256", sa.String(64), primary_key=True),
    _name("site"),
    _name("device"),
    sa.Column("actor", sa.String(100), nullable=False),
    _moment("made_at"),
    _moment("ends_at"),
    _moment("used_at", nullable=True),
)
"""One-time codes, never in clear."""
drift_hours = sa.Table(
    "drift_hours",
    schema,
    _name("site", key=True),
    _name("device", key=True),
    sa.Column("hour", sa.String(32), primary_key=True),
    sa.Column("bundle_sha256", sa.String(64), primary_key=True),
    sa.Column("frames", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    _moment("received_at"),
)
drift_standings = sa.Table(
    "drift_standings",
    schema,
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
"""`device` empty: the whole site. `standing` is too-few, steady, watch or drifting, `measure` what moved most."""
drift_references = sa.Table(
    "drift_references",
    schema,
    sa.Column("bundle_sha256", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    _moment("made_at"),
)
"""What a bundle's scans look like when all is well; `kind`: by the bundle's own word, or the fleet's."""
fleet_alerts = sa.Table(
    "fleet_alerts",
    schema,
    sa.Column("id", Id, primary_key=True),
    _name("site"),
    _name("device"),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    _moment("raised_at"),
    _moment("cleared_at", nullable=True),
)
"""What a fleet manager must hear of (a drifting site, a revoked device that still speaks), until it has passed."""
