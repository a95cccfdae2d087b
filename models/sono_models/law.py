"""The parameters of judgement that travel in a bundle: the alert law and the gates."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sono_models.errors import BadConfig


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
    contact_texture: float = 0.08
    """How far grey departs from its row's mean, as a share of it, under which a third is air: it rings in rows."""
    air_grey: float = 30.0
    """Mean grey between `contact_from` and `contact_to` above which level bands are not air."""
    dark_grey: float = 40.0
    """Grey that 19 of 20 points of the thumbnail stay under when the gain is far too low."""
    glare_share: float = 0.25
    """Share of white points above which the gain is far too high."""
    sharpness: float = 0.3
    """Fine structure (under 3 points of the model's input) over coarser (under 9), under which a picture is blurred."""
    seam_across: float = 0.12
    """How much a straight line from top to bottom stands out (sono_edge.marks.seams) where two pictures meet."""
    seam_down: float = 0.31
    """The same of a line from side to side, where tissue has level layers of its own. 1 or more: never."""
    strokes: int = 2
    """Points of thin bright strokes (sono_edge.marks.strokes) from which on there are calipers or text over tissue.

    0: not looked for, as where the pictures are stills with their measurements burned in."""
    not_breast: float = 0.5
    """Probability, from the network, above which the picture is not the bundle's organ."""


def read_law(path: Path) -> AlertLaw:
    """A law as `sono bench alerts --choose` writes it. Raises BadConfig for another file, or one that cannot be."""
    again = "Name what `sono bench alerts --choose` wrote"
    try:
        law = msgspec.json.decode(path.read_bytes(), type=AlertLaw)
    except (OSError, msgspec.DecodeError) as error:
        raise BadConfig(str(path), f"not an alert law ({error})", again) from error
    if not (0.0 < law.t_lo <= law.t_hi < 1.0 and 1 <= law.m <= law.n):
        raise BadConfig(str(path), "its thresholds or counts of frames make no sense", again)
    return law
