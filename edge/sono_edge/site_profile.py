"""The bundle under a site's profile, where one is named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sono_edge.alerts import BUNDLES_OWN
from sono_models.bundle import Bundle
from sono_models.errors import BadConfig


def under_profile(bundle: Bundle, profile: str, key: str, *, site: str | None) -> tuple[Bundle, str]:
    """The bundle as a site profile changes it, and what alerts call the profile. Raises BadProfile, BadConfig.

    Empty paths: the bundle as it is. `site` None: no device (replay), so any site's profile will do.
    """
    if not profile and not key:
        return bundle, BUNDLES_OWN
    if not key:
        raise BadConfig("update.profile_key", "it is empty, so no site profile of the fleet's is taken", "Set it")
    from sono_models.profile import opened  # noqa: PLC0415  (4 to 12 MB that an agent without a profile saves)

    return opened(bundle, Path(profile), Path(key), site=site, now=datetime.now(UTC))
