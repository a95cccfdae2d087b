"""`bench repeat`: the same score again, after a restart and on more threads; and a difference is seen."""

from __future__ import annotations

import numpy as np
import pytest

from sono_edge.bench.repeat import first_readings, pictures, repeat, run
from sono_models.bundle import read
from sono_models.reader import Reader
from sono_models.runtime import RUNTIMES, RuntimeName
from tests.support.bundles import BREAST

BUNDLE = read(BREAST)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_scores_repeat_in_every_bit(runtime: RuntimeName) -> None:
    found = run(BUNDLE, repeats=20, processes=1, threads=(1, 2), runtimes=(runtime,))
    assert found["bit_equal"]
    assert found["max_diff"] == 0.0
    assert found["compared"] == 20 + 5 + 5  # one thread, two threads, a fresh process
    assert list(found["runtimes"]) == [runtime]


def test_a_difference_in_the_last_bit_is_seen() -> None:
    shown = pictures()[:2]
    expected = first_readings(BUNDLE, "onnx", shown, 1)
    expected[1][1] = np.nextafter(expected[1][1], 1.0)
    found = repeat(Reader(BUNDLE.manifest, BUNDLE.runtime("onnx")), shown, expected, 5)
    assert (found.compared, found.different) == (5, 2)
    assert 0.0 < found.max_diff < 1e-15
