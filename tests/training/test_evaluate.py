"""`sono model evaluate` on any table of the form: here phantom stills."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from sono_edge.phantom import still
from tests.support.bundles import BREAST

KEYS = {
    "n",
    "auroc",
    "auprc",
    "ece",
    "sens_at_spec90",
    "spec_at_sens90",
    "operating_point",
    "localisation",
    "runtimes",
}


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stills")
    lines = ["image,label,group,mask,site"]
    for index in range(18):
        kind = ("normal", "benign", "malignant")[index % 3]
        picture, mask = still(seed=9000 + index, kind=kind)  # type: ignore[arg-type]
        cv2.imwrite(str(folder / f"{index}.png"), picture)
        cv2.imwrite(str(folder / f"{index}-mask.png"), mask)
        lines.append(f"{index}.png,{kind},g{index},{index}-mask.png,{'a' if index < 15 else 'b'}")
    path = folder / "stills.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def evaluate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sono_models.command", "model", "evaluate", "--bundle", str(BREAST), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def test_every_figure_is_there_for_both_runtimes(stills: Path) -> None:
    done = evaluate("--manifest", str(stills), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) >= KEYS
    assert found["n"] == 18
    assert set(found["runtimes"]) == {"onnx", "litert"}
    assert found["auroc"]["lo"] <= found["auroc"]["value"] <= found["auroc"]["hi"]
    assert found["auroc"]["value"] > 0.8
    assert 0 <= found["localisation"]["pointing_hit"] <= 1


def test_where_and_groups_choose_rows(stills: Path, tmp_path: Path) -> None:
    done = evaluate("--manifest", str(stills), "--where", "site=a", "--runtime", "onnx", "--json")
    assert json.loads(done.stdout)["n"] == 15
    groups = tmp_path / "groups.txt"
    groups.write_text("# a few\ng1\ng2\ng5  # malignant\n", "utf-8")
    done = evaluate("--manifest", str(stills), "--groups", str(groups), "--runtime", "onnx", "--json")
    assert json.loads(done.stdout)["n"] == 3


def test_mistakes_are_named(stills: Path) -> None:
    for arguments, words in (
        (("--manifest", str(stills), "--target", "cyst"), "the bundle has no such label"),
        (("--manifest", str(stills), "--where", "site=c"), "no row is left"),
        (("--manifest", str(stills), "--where", "label=malignant"), "must hold it and something else"),
    ):
        done = evaluate(*arguments)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
