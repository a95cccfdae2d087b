"""Until when each holder has a certificate, in the database's own words."""

from __future__ import annotations

import sqlalchemy as sa

from sono_fleet.tables import identities


def newest_ends() -> sa.Subquery:
    """A row a holder: site, device, and ends_at of its newest certificate that was not revoked."""
    of = identities.c
    query = sa.select(of.site, of.device, sa.func.max(of.ends_at).label("ends_at")).where(of.revoked_at.is_(None))
    return query.group_by(of.site, of.device).subquery()
