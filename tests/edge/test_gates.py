from __future__ import annotations

import numpy as np
import pytest

from sono_edge.gates import Gate, look, same_picture, thumbnail
from sono_edge.phantom import sweep
from sono_models.inputs import Grey, InputSpec, letterbox
from sono_models.law import Gates
from sono_models.table import read_grey, read_table
from tests.support.bundles import ROOT, phantom

SPEC = InputSpec(256, 256)
DATA = ROOT.parent / "shared" / "data"


def gate_of(picture: Grey, coloured_share: float = 0.0) -> tuple[Gate, str]:
    boxed, placement = letterbox(picture, SPEC)
    quality = look(thumbnail(boxed), placement, coloured_share, Gates())
    return quality.gate, quality.reason


def test_tissue_passes() -> None:
    assert gate_of(next(phantom(1))) == (Gate.PASS, "")


def test_an_empty_picture_is_no_signal() -> None:
    for grey in (0, 128, 255):
        assert gate_of(np.full((480, 640), grey, np.uint8))[0] is Gate.NO_SIGNAL


def test_a_lifted_probe_is_no_contact_and_a_tilted_one_says_which_third() -> None:
    picture = next(phantom(1)).copy()
    picture[60:, :213] = 2
    assert gate_of(picture) == (Gate.PASS, "no contact: left third")
    picture[60:] = 2
    assert gate_of(picture)[0] is Gate.NO_CONTACT


def test_colour_is_doppler() -> None:
    assert gate_of(next(phantom(1)), 0.02)[0] is Gate.DOPPLER
    assert gate_of(next(phantom(1)), 0.001)[0] is Gate.PASS


def test_a_blur_without_detail_is_low_quality() -> None:
    ramp = np.linspace(60, 90, 480).astype(np.uint8)[:, None].repeat(640, axis=1)
    assert gate_of(np.ascontiguousarray(ramp))[0] is Gate.LOW_QUALITY


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (900, 2), (3, 3)])
def test_odd_shapes_are_judged_without_falling_over(size: tuple[int, int]) -> None:
    assert gate_of(np.zeros(size, np.uint8))[0] is Gate.NO_SIGNAL


def test_the_phantoms_lift_offs_and_freezes_are_found() -> None:
    previous: Grey | None = None
    wrong = 0
    for frame in sweep(seed=7, seconds=16):
        boxed, placement = letterbox(frame.picture, SPEC)
        thumb = thumbnail(boxed)
        off = look(thumb, placement, 0.0, Gates()).gate is Gate.NO_CONTACT
        wrong += off == frame.contact
        if previous is not None and frame.frozen:
            assert same_picture(thumb, previous, Gates())
        previous = thumb
    assert wrong <= 20  # of 480: the frames in which the probe is just peeling off


@pytest.mark.data
@pytest.mark.parametrize("name", ["busi", "bus_bra"])
def test_real_stills_pass(name: str) -> None:
    if not DATA.is_dir():
        pytest.skip("the real data are not at ../shared/data")
    rows = read_table(DATA / name / "manifest.csv")[::20]
    gates = [gate_of(read_grey(row.image))[0] for row in rows]
    assert gates.count(Gate.PASS) == len(gates)
