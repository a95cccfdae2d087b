"""The score table: what each reader said of each image, and beside it the figures that were made from it."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from sono_models.atomic import writing
from sono_models.errors import BadConfig
from sono_models.saliency import BENIGN
from sono_quantize.comparison import FLOAT, SHIPPED, Compared

COLUMNS = (
    "image",
    "group",
    "label",
    FLOAT,
    "onnx",
    "litert",
    "hit",
    "iou",
    "raw",
    "benign",
    "lo",
    "hi",
    "doubt",
    "thin",
)
"""`float`, `onnx`, `litert`: calibrated malignant scores. `hit`, `iou`, `raw` (malignant, not calibrated) and `benign`
(calibrated) are the int8 model's, by ONNX Runtime; so are `lo` and `hi` (the score's interval), `doubt` (the more, the
less sure) and `thin` (why the model can't say). Empty: no float network, no mask, no uncertainty, evidence enough."""


def check_path(path: Path) -> None:
    """Before the reading: the table's folder is there, its name leaves room for the .json. Raises BadConfig."""
    if path.suffix != ".csv":
        raise BadConfig(f"--scores {path}", "is not a .csv", "Name it NAME.csv; the figures go to NAME.json")
    if not path.parent.is_dir():
        raise BadConfig(f"--scores {path}", "its folder is not there", f"Make {path.parent} first")


def write_scores(path: Path, compared: Compared, figures: dict[str, Any]) -> None:
    """The table, and PATH.json: the figures with the table's sha256."""
    with writing(path) as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_line(compared, number) for number in range(len(compared.rows)))
    figures = {**figures, "scores_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    with writing(path.with_suffix(".json")) as file:
        file.write(json.dumps(figures, indent=1) + "\n")


def _line(compared: Compared, number: int) -> dict[str, str]:
    row, place = compared.rows[number], compared.places[number]
    exact = f"{compared.malignant(FLOAT)[number]:.6f}" if FLOAT in compared.scores else ""
    return {
        "image": row.columns["image"],
        "group": row.group,
        "label": row.label,
        FLOAT: exact,
        "onnx": f"{compared.malignant('onnx')[number]:.6f}",
        "litert": f"{compared.malignant('litert')[number]:.6f}",
        "hit": "" if place is None else str(int(place.hit)),
        "iou": "" if place is None else f"{place.iou:.6f}",
        "raw": f"{compared.raw[number]:.6f}",
        "benign": f"{compared.scores[SHIPPED][number, BENIGN]:.6f}",
        **_sureness(compared, number),
    }


def _sureness(compared: Compared, number: int) -> dict[str, str]:
    sure = compared.sureness[number]
    if sure is None:
        return dict.fromkeys(("lo", "hi", "doubt", "thin"), "")
    return {"lo": f"{sure.lo:.6f}", "hi": f"{sure.hi:.6f}", "doubt": f"{sure.doubt:.6f}", "thin": sure.thin or ""}
