"""The alert benchmark in the evidence: `sono bench alerts --json` on held-out stills, kept as results/alerts.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sono_models.errors import BadManifest
from sono_training.evidence.style import BLUE, MUTED, ORANGE, figure, title
from sono_training.evidence.words import MET, interval, table

PLOT = "alert-burden.svg"
NOT_YET = "The held-out sweeps of the law that ships: results/alerts.json is not there, so not measured."
CHOSEN_FROM = ("22 thresholds", "two shares of it to stay", "five counts M of N")
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure, what was asked for before any result, and where it stands in the JSON."""

    what: str
    key: str
    goal: float
    at_least: float
    higher: bool
    form: str = ".3f"


GOALS = (
    Goal("lesions found", "lesion_sensitivity", 0.95, 0.90, True),
    Goal("false alerts a minute without a lesion", "false_per_min", 0.5, 2.0, False),
    Goal("median time to the first alert, ms", "median_ms", 400, 800, False, ".0f"),
    Goal("overlay toggles a lesion-second", "toggles_per_lesion_s", 0.05, 0.05, False),
    Goal("false activations cut, against a threshold on single frames", "fp_cut", 0.95, 0.88, True),
    Goal("alerts from gated frames", "gated_alerts", 0, 0, False, ".0f"),
)
OTHERS = {
    "p95_ms": ("95th percentile of the time to the first alert, ms", ".0f"),
    "false_per_scan": ("false alerts a 30-s scan without a lesion", ".3f"),
    "false_overlay_s_per_min": ("seconds of false overlay a minute", ".2f"),
    "fragmentation": ("tracks a lesion that was found", ".2f"),
    "gated_share": ("share of all frames that a gate held", ".3f"),
    "plain_but_gated_share": ("share of frames with nothing in the way that a gate held all the same", ".3f"),
    "missed_alerts": ("alerts from frames that a gate should have held and did not", ".0f"),
}


Around = Mapping[str, Mapping[str, Any]]
"""Other results by their names: how the law was chosen, and real clips."""


def section(found: Mapping[str, Any] | None, around: Around | None = None) -> str:
    """The README's section, or nothing where there is no result. Raises BadManifest for a result that lacks a key."""
    if found is None and not around:
        return ""
    return _whole(lambda: _section(found, around or {}))


def _section(found: Mapping[str, Any] | None, around: Around) -> str:
    parts = ["## Alerts over time, in simulated sweeps", *(_held_out(found) if found else [NOT_YET])]
    if "alert-law" in around:
        parts.append(_chosen(around["alert-law"]))
    parts += [_clips(around[name]) for name in ("clips", "clips-lung") if name in around]
    return "\n\n".join(parts) + "\n\n"


def _held_out(found: Mapping[str, Any]) -> list[str]:
    law, stills = found["law"], found["stills"]
    head = ("what", "goal", "at least", "reached (95 %)", "met")
    rows = [_row(goal, found) for goal in GOALS]
    rows += [(words, "", "", _shown(found, key, form), "") for key, (words, form) in OTHERS.items()]
    said = (
        f"`sono bench alerts`: {found['sweeps']} simulated sweeps over {stills['lesion_stills']} held-out stills with "
        f"a lesion ({', '.join(found['labels'])}; {stills['lesion_groups']} groups) and {found['minutes']:.0f} minutes "
        f"without one, from {stills['free_stills']} stills of {stills['free_groups']} groups, at 30 fps, seed "
        f"{found['seed']}, seen by {found['bundle']}. Law: {law['m']} of {law['n']} frames from {law['t_hi']:g}, left "
        f"below {law['t_lo']:g} for {law['clear_s']:g} s. Stills with calipers or text of their own are left out: they "
        f"are gated in a scan ({stills['lesion_stills']} of {stills['of_label']} are left). In view is a lesion of "
        "which a quarter is; found, when an alert's box overlaps it meanwhile. The threshold on single frames finds as "
        f"many lesions ({_alone(found)}). A sweep over a still is not a scan of a patient: "
        "its sides are mirrored tissue, whose seams the gates sometimes take for two pictures."
    )
    picture = f"![Alert burden: lesions found against false alerts a minute](plots/{PLOT})"
    return [said, table(head, rows), picture]


def _alone(found: Mapping[str, Any]) -> str:
    alone = found["per_frame"]
    return f"{alone['threshold']:.3f}, {alone['activations']} activations" if alone else "there is none that does"


def _chosen(dev: Mapping[str, Any]) -> str:
    stills, within = dev["stills"], dev["intervals"]
    law = dev["law"]
    return (
        f"**How the law was chosen.** On the dev split alone (`models/splits/dev.txt`; seed {dev['seed']}): "
        f"{dev['sweeps']} sweeps over {stills['lesion_stills']} stills of {stills['lesion_groups']} groups and "
        f"{dev['minutes']:.0f} minutes without a lesion from {stills['free_stills']} stills, before any held-out "
        f"figure was seen. Rule (`sono bench alerts --choose`): of {', '.join(CHOSEN_FROM)}, what keeps false alerts "
        "to half of what is asked at least, then finds most lesions. "
        f"There, {law['m']} of {law['n']} from {law['t_hi']:g}: lesions found "
        f"{interval(within['lesion_sensitivity'], '.3f')}, false alerts a minute "
        f"{interval(within['false_per_min'], '.3f')}."
    )


def _clips(found: Mapping[str, Any]) -> str:
    per_min, probes = found["alerts_per_min"], found["by_probe"]
    said = "; ".join(
        f"{name}: {one['alerts']} alerts in {one['clips_with_alerts']} of {one['clips']} clips, "
        f"{one['gated_share']:.0%} of frames gated"
        for name, one in probes.items()
    )
    classes = "; ".join(
        f"{label}: {', '.join(f'{count} {said}' for said, count in counts.items())}"
        for label, counts in found["classes"].items()
    )
    return (
        f"**Real lung clips through {found['bundle']}** (`sono bench clips`): {found['clips']} clips of "
        f"{found['patients']} patients, {found['minutes']:.1f} minutes, {found['gated_share']:.0%} of frames gated. "
        f"Alerts: {found['alerts']}, in {found['clips_with_alerts']} clips; a minute {interval(per_min, '.2f')}. "
        f"By probe: {said}. Classes by the median score of what passed: {classes}."
    )


def _row(goal: Goal, found: Mapping[str, Any]) -> tuple[str, ...]:
    value, sign = _value(found, goal.key), "≥" if goal.higher else "≤"
    limits = [f"{sign} {limit:g}" for limit in (goal.goal, goal.at_least)]
    return (goal.what, *limits, _shown(found, goal.key, goal.form), MET[_met(goal, value)])


def _met(goal: Goal, value: float | None) -> str:
    if value is None:
        return "not measured"
    for limit, words in ((goal.goal, "goal"), (goal.at_least, "at least")):
        if value >= limit if goal.higher else value <= limit:
            return words
    return "no"


def _value(found: Mapping[str, Any], key: str) -> float | None:
    within = found["intervals"].get(key)
    value = within["value"] if within else found[key]
    return None if value is None else float(value)


def _shown(found: Mapping[str, Any], key: str, form: str) -> str:
    value = _value(found, key)
    if value is None:
        return "-"
    within = found["intervals"].get(key)
    return interval(within, form) if within else format(value, form)


def draw(found: Mapping[str, Any], path: Path) -> None:
    """The alert-burden curve: the law's threshold swept over what was seen once, and the law that ships."""
    _whole(lambda: _draw(found, path))


def _draw(found: Mapping[str, Any], path: Path) -> None:
    curve, within = found["curve"], found["intervals"]
    x = [point["false_per_min"] for point in curve]
    y = [point["lesion_sensitivity"] for point in curve]
    with figure(path, (5.6, 4.2)) as (_, (axes,)):
        counts = f"{found['lesions']} sweeps with a lesion, {found['minutes']:.0f} minutes without"
        title(axes, "Simulated sweeps", counts)
        axes.plot(x, y, color=BLUE, marker="o", markersize=3, label="the threshold t_hi swept")
        at = {name: within[name] for name in ("false_per_min", "lesion_sensitivity")}
        value = {name: one["value"] for name, one in at.items()}
        reach = [[[one["value"] - one["lo"]], [one["hi"] - one["value"]]] for one in at.values()]
        words = f"the law: t_hi {found['law']['t_hi']:g}, {found['law']['m']} of {found['law']['n']}"
        axes.errorbar(
            value["false_per_min"],
            value["lesion_sensitivity"],
            xerr=reach[0],
            yerr=reach[1],
            fmt="o",
            color=ORANGE,
            markeredgecolor="white",
            elinewidth=1,
            label=words,
        )
        for across, up, name, line in ((0.5, 0.95, "goal", "-"), (2.0, 0.90, "at least", (0, (4, 3)))):
            axes.plot([0, across, across], [up, up, 1.02], color=MUTED, linewidth=1, linestyle=line)
            axes.text(across, up, f" {name}", fontsize=8, color=MUTED, va="top")
        axes.set(xlabel="false alerts a minute without a lesion", ylabel="lesions found", ylim=(-0.02, 1.03))
        axes.set_xlim(left=-0.05, right=max(2.4, *x))
        axes.legend(loc="lower right")


def _whole(make: Callable[[], _Made]) -> _Made:
    try:
        return make()
    except (KeyError, TypeError, ValueError) as error:
        raise BadManifest(
            "results/alerts.json", f"lacks {error}", "Make it again with `sono bench alerts --json`"
        ) from error
