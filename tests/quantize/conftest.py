"""One small finished run and its int8 files, made once for all tests of this folder. Needs the train extra."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("torch") is None or find_spec("litert_torch") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    from tests.support.runs import quantized, run

    __all__ = ["quantized", "run"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here is one of the train extra's: `make test-train` runs those that are marked, and no others."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("train")
