"""The benchmark's viewers are what they are called: one reads all, one is slow, one stops and stays."""

from __future__ import annotations

import numpy as np

from sono_edge.bench.live import MIX, watching
from sono_edge.bench.watcher import FIRST
from sono_edge.view import View
from tests.support.scenes import scene
from tests.support.waiting import until

NOISE = np.random.default_rng(7).integers(0, 256, (480, 640), np.uint8)


def test_quick_slow_and_stopped_viewers_read_so_much() -> None:
    with View(port=0) as view:
        with watching(view.url, 2 * len(MIX)) as watched:
            until(lambda: view.viewers == 2 * len(MIX))
            for index in range(40):
                view.show(scene(index, picture=NOISE))
                until(lambda: view._stage._encoded[0] == index + 1)  # noqa: B023  (called before the next)
        until(lambda: view.viewers == 0)
    read = {kind: bytes_read / count for kind, count, bytes_read in watched}
    assert {kind: count for kind, count, _ in watched} == {kind: 2 * MIX.count(kind) for kind in MIX}
    assert read["quick"] > 10 * read["slow"] > 0
    assert 0 < read["stopped"] <= FIRST


def test_nobody_watches_where_nobody_is_wanted() -> None:
    with View(port=0) as view, watching(view.url, 0) as watched:
        assert view.viewers == 0
    assert watched == []
