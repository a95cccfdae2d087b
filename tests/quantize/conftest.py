"""One small finished run and its int8 files, made once for all tests of this folder. Needs the train extra."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("torch") is None or find_spec("litert_torch") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    from tests.support.runs import quantized, run

    __all__ = ["quantized", "run"]
