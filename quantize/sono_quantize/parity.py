"""The parity report: float, ONNX int8 and TFLite int8 side by side, in words, tables and plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sono_models.atomic import writing
from sono_models.bundle import Bundle
from sono_models.errors import BadConfig
from sono_models.manifest import Bound
from sono_quantize.comparison import FLOAT, SHIPPED, Compared
from sono_quantize.parity_plots import READERS, apart, draw_all, flips, limits_of_agreement, step_counts

REPORT = "parity.md"


def write_report(folder: Path, bundle: Bundle, compared: Compared, figures: Mapping[str, Any]) -> None:
    """parity.md and its plots, of a comparison that has the float reader. Raises BadConfig when it cannot write."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draw_all(folder, compared, figures)
    except OSError as error:
        raise BadConfig(str(folder), error.strerror or "cannot be written", "Choose another --report") from error
    with writing(folder / REPORT) as file:
        file.write("\n".join(_lines(bundle, compared, figures)) + "\n")


def _lines(bundle: Bundle, compared: Compared, figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"# Parity of {figures['name']} {figures['version']}: float, ONNX int8, TFLite int8"
    yield "\nResearch prototype, not a medical device.\n"
    yield f"{figures['n']} images in {figures['groups']} groups, {figures['positives']} of them malignant, each read by"
    yield "all three on the device's own path: one letterbox, one pooling, one calibration, one threshold."
    same = "every one the same in both files" if figures["same_parameters"] else "**not the same in both files**"
    yield ""
    yield f"- bundle `{figures['bundle']}`"
    yield f"- float weights `{figures['weights_sha256']}`, recipe `{figures['recipe']}`"
    yield f"- int8 weights, biases, scales and zero points: {same}"
    yield "\n## Discrimination\n"
    yield from _table(("reader", "AUROC", "95 %", "sensitivity", "specificity", "ECE"), _readers(figures))
    delta = figures["delta_auroc"]
    yield f"\nint8 minus float: **{delta['value']:+.4f}** ({delta['lo']:+.4f} to {delta['hi']:+.4f}; both on the same"
    yield f"{figures['bootstrap']['resamples']} draws of groups). Sensitivity and specificity at the bundle's"
    yield f"threshold, {compared.threshold:.4f}.\n\n![AUROC](auroc.svg)"
    yield "\n## Scores\n"
    yield from _scores(compared)
    yield "\n## Decisions\n"
    yield from _decisions(compared, figures)
    yield "\n## The two runtimes\n"
    yield from _runtimes(compared, figures)
    if bundle.manifest.envelope:
        yield "\n## The envelope of this bundle\n"
        yield "Figures it had to meet to be packed, as its manifest holds them.\n"
        yield from _table(("figure", "value", "limit", "met"), [_bound(bound) for bound in bundle.manifest.envelope])


def _readers(figures: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for name, words in READERS.items():
        area, point = figures["auroc"][name], figures["operating_point"][name]
        interval = f"{area['lo']:.4f} to {area['hi']:.4f}"
        shares = (f"{point['sens']:.4f}", f"{point['spec']:.4f}", f"{figures['ece'][name]:.4f}")
        yield (words, f"{area['value']:.4f}", interval, *shares)


def _scores(compared: Compared) -> Iterator[str]:
    difference = compared.malignant(SHIPPED) - compared.malignant(FLOAT)
    bias, low, high = limits_of_agreement(difference)
    moved = np.abs(difference)
    yield f"The calibrated malignant score moves by {moved.mean():.4f} on average, {np.median(moved):.4f} in the"
    yield f"median, {np.percentile(moved, 95):.4f} at the 95th percentile and {moved.max():.4f} at most. Bias"
    yield f"{bias:+.4f}, limits of agreement {low:+.4f} to {high:+.4f} (Bland and Altman).\n"
    yield "![int8 against float](scatter.svg)\n\n![Bland and Altman](bland_altman.svg)"


def _decisions(compared: Compared, figures: Mapping[str, Any]) -> Iterator[str]:
    flipped = [int(number) for number in np.flatnonzero(flips(compared))]
    n = figures["n"]
    yield f"At the threshold float and int8 decide alike on {n - len(flipped)} of {n} images"
    yield f"({100 * (n - len(flipped)) / n:.2f} %).\n"
    kinds = (("malignant", compared.truth), ("not malignant", ~compared.truth))
    yield from _table(
        ("", "both call", "neither", "float only", "int8 only"), [_called(compared, *kind) for kind in kinds]
    )
    if flipped:
        yield "\nThe flips, the widest first:\n"
        moved = np.abs(compared.malignant(SHIPPED) - compared.malignant(FLOAT))
        ordered = sorted(flipped, key=lambda number: (-moved[number], compared.rows[number].columns["image"]))
        yield from _table(("image", "label", *READERS.values()), [_flip(compared, number) for number in ordered])


def _called(compared: Compared, words: str, which: Any) -> Sequence[str]:
    exact, ours = (compared.malignant(name)[which] >= compared.threshold for name in (FLOAT, SHIPPED))
    counts = ((exact & ours).sum(), (~exact & ~ours).sum(), (exact & ~ours).sum(), (~exact & ours).sum())
    return (words, *(str(int(count)) for count in counts))


def _flip(compared: Compared, number: int) -> Sequence[str]:
    row = compared.rows[number]
    scores = (f"{compared.malignant(name)[number]:.4f}" for name in READERS)
    return (f"`{row.columns['image']}`", row.label, *scores)


def _runtimes(compared: Compared, figures: Mapping[str, Any]) -> Iterator[str]:
    differing = int((apart(compared) > 0).sum())
    yield f"{figures['n'] - differing} of {figures['n']} images have the very same two scores. The largest difference"
    yield f"is {figures['runtimes_max_diff']:.6f}, {255 * figures['runtimes_max_diff']:.3f} steps of 1/255.\n"
    counts = step_counts(compared)
    yield from _table(("steps of 1/255", *counts), [("images", *(str(count) for count in counts.values()))])
    yield "\n![ONNX against TFLite](runtimes.svg)"


def _bound(bound: Bound) -> Sequence[str]:
    limit = f"at least {bound.at_least:g}" if bound.at_least is not None else f"at most {bound.at_most:g}"
    return (f"`{bound.metric}`", f"{bound.value:.4f}", limit, "yes" if bound.met() else "**no**")


def _table(head: Sequence[str], lines: Any) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for line in lines:
        yield "| " + " | ".join(line) + " |"
