"""What the other sides can check of a bundle, when their extras are installed: entry points in the group below."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from sono_models.command import is_absent

if TYPE_CHECKING:
    from sono_models.bundle import Bundle

GROUP = "sono.bundle.checks"
"""Each a function of a Bundle that returns what is wrong, a line each."""


def further_checks(bundle: Bundle) -> dict[str, list[str] | None]:
    """What each check found wrong, by its name; None: its extra is not installed here."""
    found: dict[str, list[str] | None] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        found[point.name] = None if any(is_absent(extra) for extra in point.extras) else point.load()(bundle)
    return found
