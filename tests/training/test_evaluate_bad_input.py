"""What `sono model evaluate` refuses, it refuses before a runtime is opened."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from sono_models.errors import BadManifest
from sono_training import commands
from tests.support.bundles import BREAST, noise


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, size in enumerate(((60, 44), (600, 150), (33, 33), (64, 64))):
        cv2.imwrite(str(tmp_path / f"{index}.png"), noise(index, size))
    cv2.imwrite(str(tmp_path / "one.png"), noise(9, (1, 1)))
    cv2.imwrite(
        str(tmp_path / "colour.jpg"), cv2.merge([noise(5, (90, 120)), noise(6, (90, 120)), noise(7, (90, 120))])
    )
    return tmp_path


def table(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(("image,label", "0.png,benign", "1.png,malignant", *lines)) + "\n", "utf-8")
    return path


@pytest.fixture
def nothing_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a runtime was opened before the table was checked")

    monkeypatch.setattr("sono_training.evaluate.verified_reader", refuse)
    monkeypatch.setattr("sono_training.robustness.verified_reader", refuse)


@pytest.mark.usefixtures("nothing_opens")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("missing.png,benign", "table.csv:4 (missing.png)"),
        ("one.png,normal", "1x1 px"),
        ("2.png,cyst", "unknown label 'cyst'"),
        ("2.png,nan", "its label is 'nan'"),
        ("0.png,malignant", "the same image as"),
    ],
)
def test_the_row_is_named_before_any_picture_is_scored(folder: Path, line: str, words: str) -> None:
    for command in (commands.evaluate, commands.robustness):
        with pytest.raises(BadManifest) as caught:
            command(table(folder, line), bundle=BREAST)
        assert words in str(caught.value)


@pytest.mark.usefixtures("nothing_opens")
def test_one_class_only_is_refused_before_any_picture_is_scored(folder: Path) -> None:
    with pytest.raises(BadManifest, match="must hold it and something else"):
        commands.evaluate(table(folder), bundle=BREAST, where=["label=benign"])
    with pytest.raises(BadManifest, match="no row is left"):
        commands.evaluate(table(folder), bundle=BREAST, where=["label=cyst"])


def test_any_size_and_colour_is_measured_and_a_declared_negative_counts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(folder, "2.png,cyst", "colour.jpg,malignant", "3.png,normal")
    commands.evaluate(path, bundle=BREAST, negative=["cyst"], as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["n"], found["positives"]) == (5, 2)
    assert set(found["runtimes"]) == {"onnx", "litert"}
