"""`sono bench swap` in short: a real agent on a live stream finds a moment for each update."""

from __future__ import annotations

from pathlib import Path

import pytest

from sono_edge.bench.live import mjpeg_server
from sono_edge.bench.swap import Bench, Stream
from sono_models.bundle import read
from tests.support.bundles import BREAST


@pytest.mark.timeout(500)
def test_good_updates_come_to_be_good(tmp_path: Path) -> None:
    stream = Stream()
    (file,) = BREAST.glob("*.tar")
    with mjpeg_server(stream, 30.0) as url:
        bench = Bench(tmp_path, read(file), "onnx", url, stream)
        figures = bench.good_ones(2)
    assert bench.wrong == []
    assert figures["swaps"] == 2
    assert figures["frames_in"] > 100
