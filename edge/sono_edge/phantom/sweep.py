"""An endless sweep of the probe over simulated breasts: tissue, lesions that pass, lift-offs, freezes.

The sweep is a row of cycles. Each has one lesion; an even cycle (malignant) ends with a lift-off, after
which the probe stands on other anatomy; an odd cycle (benign) starts with one side of the probe lifted and
holds a freeze. A frame is a function of the seed and its index alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from sono_edge.phantom.anatomy import Anatomy, draw_anatomy
from sono_edge.phantom.render import Hold, Look, Scanner, build_scanner, draw_look, render
from sono_edge.phantom.stills import settle
from sono_models.inputs import Box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sono_edge.phantom.lesion import Lesion
    from sono_edge.phantom.speckle import Plane

CYCLE_S = 7.5
"""From one lesion to the next, about; two cycles hold one of everything."""
LIFT_S = (5.3, 7.1)
"""When, in an even cycle, the probe leaves the skin and is back."""
PEEL_S = 0.3
"""How long the contact needs to tear off or to close across the probe's face."""
SIDE_LIFT_S = (0.1, 1.0)
"""When, in an odd cycle, one side of the probe is lifted."""
FREEZE_S = 1.5
"""How long a freeze lasts."""
CONTACT_SHARE = 0.15
"""Less of the probe's face than this on the skin is no contact."""
SHOWN = 0.25
"""The cross-section, as a share of the lesion's largest, from which on it counts as visible."""
PAN = 0.09
PAN_PERIOD_S = 11.0
"""The hand's sideways drift: amplitude in picture heights, and its period."""


@dataclass(frozen=True, slots=True)
class LesionTruth:
    """A lesion in a frame; `lesion` tells one lesion from another within the sweep."""

    kind: Literal["benign", "malignant"]
    box: Box
    lesion: int


@dataclass(frozen=True, slots=True)
class PhantomFrame:
    """A frame and its truth; `captured_s` counts from the sweep's start; a frozen frame repeats another."""

    index: int
    captured_s: float
    picture: NDArray[np.uint8]
    contact: bool
    frozen: bool
    lesions: tuple[LesionTruth, ...]


@dataclass(frozen=True, slots=True)
class Cycle:
    """What happens in one cycle; times in seconds since the sweep's start. `after` follows a lift-off."""

    number: int
    starts_s: float
    before: Anatomy
    after: Anatomy
    lesion: Lesion
    freeze_s: float | None
    from_left: bool

    def anatomy(self, z_s: float) -> Anatomy:
        return self.before if z_s - self.starts_s < sum(LIFT_S) / 2 else self.after


def sweep(
    *, seed: int = 7, fps: float = 30.0, size: tuple[int, int] = (640, 480), seconds: float | None = None
) -> Iterator[PhantomFrame]:
    """Render a sweep, pictures of `size` (width, height, both even); endless without `seconds`."""
    scanner = build_scanner(np.random.default_rng((seed, 2)), sweep_look(seed), size)
    cycle = plan(seed, 0, size[0] / size[1])
    held: PhantomFrame | None = None
    for index in count() if seconds is None else range(round(seconds * fps)):
        captured_s = index / fps
        number = int(captured_s // CYCLE_S)
        if number != cycle.number:
            cycle = plan(seed, number, size[0] / size[1])
        if held is not None and is_frozen(cycle, captured_s):
            picture = held.picture.copy()
            yield replace(held, index=index, captured_s=captured_s, picture=picture, frozen=True)
            continue
        frame = look_at(scanner, cycle, index, captured_s)
        held = replace(frame, picture=frame.picture.copy()) if is_frozen(cycle, captured_s + 1 / fps) else None
        yield frame


def plan(seed: int, number: int, aspect: float) -> Cycle:
    """Draw the cycle of this number; `aspect` is the picture's width over its height."""
    rng = np.random.default_rng((seed, 3, number))
    malignant = number % 2 == 0
    before = anatomy_of(seed, (number + 1) // 2)
    starts_s = number * CYCLE_S
    middle_s = 2.9 + rng.uniform(-0.4, 0.4)
    lesion = settle(rng, "malignant" if malignant else "benign", before, aspect, identity=number)
    on_lesion = number % 4 == 3
    freeze_s = None if malignant else starts_s + (middle_s - 0.3 if on_lesion else 5.4)
    return Cycle(
        number=number,
        starts_s=starts_s,
        before=before,
        after=anatomy_of(seed, (number + 2) // 2),
        lesion=replace(lesion, z_s=starts_s + middle_s),
        freeze_s=freeze_s,
        from_left=bool(rng.random() < 0.5),
    )


def is_frozen(cycle: Cycle, at_s: float) -> bool:
    """Say whether the scanner repeats its last picture at this time."""
    return cycle.freeze_s is not None and cycle.freeze_s <= at_s < cycle.freeze_s + FREEZE_S


def touching(cycle: Cycle, at_s: float, columns: int) -> Plane | None:
    """Give the contact of every column, (1, columns), 0 to 1; None when the whole face touches."""
    since_s = at_s - cycle.starts_s
    if cycle.number % 2 == 0:
        closing = min((since_s - LIFT_S[0]) / PEEL_S, (LIFT_S[1] - since_s) / PEEL_S)
        lifted = min(max(closing, 0.0), 1.0) * 1.2
    else:
        progress = (since_s - SIDE_LIFT_S[0]) / (SIDE_LIFT_S[1] - SIDE_LIFT_S[0])
        lifted = 0.4 * float(np.sin(np.pi * min(max(progress, 0.0), 1.0)))
    return peeled(lifted, columns, from_left=cycle.from_left)


def peeled(lifted: float, columns: int, *, from_left: bool) -> Plane | None:
    """Give the contact of every column, as `touching`, of a probe with this share of its face off the skin."""
    if lifted <= 0:
        return None
    across = np.linspace(0, 1, columns, dtype=np.float32)[None]
    if not from_left:
        across = across[:, ::-1]
    return np.asarray(np.clip((across - np.float32(lifted - 0.1)) / np.float32(0.1), 0, 1), np.float32)


def look_at(scanner: Scanner, cycle: Cycle, index: int, at_s: float) -> PhantomFrame:
    """Render the live frame at this time of its cycle."""
    contact = touching(cycle, at_s, scanner.size[0] // 2)
    pan = PAN * float(np.sin(2 * np.pi * at_s / PAN_PERIOD_S))
    hold = Hold(z_s=at_s, pan=pan, contact=contact)
    picture, masks = render(scanner, cycle.anatomy(at_s), (cycle.lesion,), hold)
    burn(picture)
    touches = contact is None or float(contact.mean()) >= CONTACT_SHARE
    box = box_of(masks[0]) if touches and cycle.lesion.section(at_s) >= SHOWN else None
    truths = () if box is None else (LesionTruth(cycle.lesion.kind, box, cycle.lesion.identity),)
    return PhantomFrame(index, at_s, picture, touches, frozen=False, lesions=truths)


def burn(picture: NDArray[np.uint8]) -> None:
    """Write SIMULATED small and grey into the bottom edge, in place."""
    place = (6, picture.shape[0] - 4)
    cv2.putText(picture, "SIMULATED", place, cv2.FONT_HERSHEY_SIMPLEX, 0.32, (110,), 1, cv2.LINE_AA)


def box_of(mask: NDArray[np.uint8]) -> Box | None:
    """Find the smallest box around a mask; None when the mask is empty."""
    left, top, width, height = cv2.boundingRect(mask)
    if width == 0 or height == 0:
        return None
    rows, columns = mask.shape
    return Box(left / columns, top / rows, (left + width) / columns, (top + height) / rows)


def anatomy_of(seed: int, number: int) -> Anatomy:
    """The breast of this number under this seed."""
    return draw_anatomy(np.random.default_rng((seed, 4, number)))


def sweep_look(seed: int) -> Look:
    """Draw a linear probe, its gain set by somebody who looks at the picture."""
    look = draw_look(np.random.default_rng((seed, 5)), sector_share=0.0)
    return replace(
        look,
        gain_db=float(np.clip(look.gain_db, 0, 6)),
        attenuation_db=float(np.clip(look.attenuation_db, 2, 9)),
    )
