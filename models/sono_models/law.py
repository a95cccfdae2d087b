"""The parameters of judgement that travel in a bundle: the alert law and the gates."""

from __future__ import annotations

import msgspec


class AlertLaw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a candidate becomes an alert and an alert ends. Times are capture time, seconds."""

    t_hi: float
    t_lo: float
    m: int = 6
    n: int = 9
    clear_s: float = 0.7
    shown_s: float = 1.0
    cooldown_s: float = 10.0
    per_minute: int = 4
    same_place_iou: float = 0.1
    window_s: float = 2.0
    """Evidence older than this is not counted, however slow the board is."""


class Gates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cheap pixel rules. Brightness is mean grey, 0 to 255; shares are 0 to 1."""

    signal_spread: float = 2.0
    """Below this standard deviation there is no picture."""
    contact_from: float = 0.3
    contact_to: float = 0.8
    """Contact is looked for between these shares of the height, below the skin and above the far field."""
    contact_grey: float = 8.0
    """Mean grey of a third of the picture there, under which the probe does not touch."""
    detail: float = 2.0
    """Mean absolute difference between neighbours under which the picture is of low quality."""
    doppler_share: float = 0.004
    """Share of coloured pixels above which the picture is a Doppler picture."""
    frozen_diff: int = 3
    """Largest difference of the thumbnails of two frames that count as the same picture."""
    frozen_s: float = 0.5
    """A picture that has not changed for this long is frozen."""
