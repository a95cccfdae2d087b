"""What `make arm` makes of two machines' figures: what differs must not pass. (The target runs the machines.)"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.bundles import ROOT

ARM = ROOT / "deploy" / "arm"
STEP = 0.125


def load() -> Any:
    spec = importlib.util.spec_from_file_location("compare", ARM / "compare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compare = load()


def figures(machine: str = "aarch64", *, xnnpack: bool = True) -> dict[str, Any]:
    """Two golden frames and three frames, of which two were scored, with all values of an int8 grid."""
    grid = (np.arange(2 * 128, dtype=np.float32) - 100).reshape(2, 2, 8, 8) * np.float32(STEP)
    about = {"machine": machine, "xnnpack": xnnpack, "packages": {"numpy": "2"}}
    about["runtimes"] = {name: {"version": "1", "golden_diff": 0.0} for name in ("onnx", "litert")}
    arrays: dict[str, Any] = {"about": np.array(json.dumps(about))}
    for name in ("onnx", "litert"):
        arrays |= {f"{name}/golden/saliency": grid.copy(), f"{name}/replay/saliency": grid.copy()}
        arrays[f"{name}/scores"] = np.array([[0.25, 0.5], [np.nan, np.nan], [0.25, 0.75]])
        arrays |= {f"{name}/lines": np.array(["a", "b", "c"]), f"{name}/pictures": np.array(["d", "e", "f"])}
        arrays[f"{name}/boxed"] = np.array(["g", "h", "i"])
    return arrays


def test_equal_machines_pass() -> None:
    result = compare.report("cortex-a76", figures("x86_64"), figures())
    assert result["failures"] == []
    assert result["xnnpack"]
    assert result["identical_share"] == 1.0
    assert result["max_logit_lsb"] == 0
    assert result["max_probability_diff"] == 0.0
    onnx = result["runtimes"]["onnx"]
    assert (onnx["golden"], onnx["frames"], onnx["scored"]) == (2, 3, 2)


@pytest.mark.parametrize(
    ("runtime", "steps", "moved", "fails"),
    [
        ("litert", 1, 0.0009, False),
        ("litert", 1, 0.002, True),
        ("onnx", 2, 0.002, False),
        ("onnx", 3, 0.002, True),
    ],
)
def test_a_moved_score_fails(runtime: str, steps: int, moved: float, *, fails: bool) -> None:
    board = figures()
    board[f"{runtime}/replay/saliency"][1, 0, 3, 3] -= np.float32(steps * STEP)
    board[f"{runtime}/scores"][2, 1] += moved
    result = compare.report("cortex-a76", figures("x86_64"), board)
    assert bool(result["failures"]) is fails
    assert result["max_logit_lsb"] == steps
    assert result["max_probability_diff"] == pytest.approx(moved)
    assert result["identical_share"] == 0.75  # three of four pictures of that runtime


def test_xnnpack_off_fails() -> None:
    result = compare.report("cortex-a76", figures("x86_64"), figures(xnnpack=False))
    assert not result["xnnpack"]
    assert [failure for failure in result["failures"] if "XNNPACK is off on aarch64" in failure]


@pytest.mark.parametrize(("pixels", "part"), [("pictures", "decoder"), ("boxed", "letterbox")])
def test_other_pixels_fail(pixels: str, part: str) -> None:
    board = figures()
    board[f"onnx/{pixels}"][1] = "x"
    assert compare.report("cortex-a76", figures("x86_64"), board)["failures"] == [f"onnx: the {part} gave other pixels"]


def test_a_machine_that_is_no_arm_fails() -> None:
    assert compare.report("cortex-a76", figures("x86_64"), figures("x86_64"))["failures"]


def test_set_up_says_what_to_install(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname"):
        (tools / name).symlink_to(str(shutil.which(name)))
    done = subprocess.run(
        ["bash", str(ARM / "root.sh"), str(tmp_path / "arm"), "python3"],
        env={**os.environ, "PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "error: mmdebstrap is not installed: apt-get install mmdebstrap qemu-user-static\n"
