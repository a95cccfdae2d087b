"""The alert law at other settings, over what was seen once: the alert-burden curve, and the choice of a law.

A law is chosen on the dev split's stills, never on held-out ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import msgspec

from sono_edge.bench.alert_figures import Outcome, Outcomes, outcome
from sono_edge.bench.timelines import Timeline, judge
from sono_models.law import AlertLaw

LEVELS = (*(round(0.05 * step, 2) for step in range(1, 19)), 0.92, 0.94, 0.96, 0.98)
"""t_hi of the curve and of the laws to choose from."""
OF_FRAMES = ((4, 6), (5, 8), (6, 9), (8, 12), (10, 15))
LOW_SHARES = (0.4, 0.6)
"""t_lo as a share of t_hi."""
GOALS: dict[str, tuple[float, float]] = {
    "lesion_sensitivity": (0.95, 0.90),
    "false_per_min": (0.25, 1.0),
    "median_ms": (400.0, 800.0),
    "toggles_per_lesion_s": (0.05, 0.05),
}
"""What a chosen law should reach, and what at least. Of false alerts half of what is asked for: other hospitals'
pictures score higher than those that a law was chosen on."""

HOPELESS = 2.0
"""False alerts a minute, twice what is asked at least, from which on a lower threshold is not tried: it only adds."""
Rest = tuple[float, int, int]
"""t_lo as a share of t_hi, m and n."""


def under_each(laws: Sequence[AlertLaw], timelines: Sequence[Timeline]) -> list[Outcomes]:
    """What each law makes of the same timelines."""
    rows = []
    for timeline in timelines:
        seen = timeline.observations()
        rows.append([outcome(timeline, judge(law, timeline, seen)) for law in laws])
    return [Outcomes([row[index] for row in rows]) for index in range(len(laws))]


def outcomes(law: AlertLaw, timelines: Sequence[Timeline]) -> list[Outcome]:
    """What one law makes of each timeline."""
    return [outcome(timeline, judge(law, timeline, timeline.observations())) for timeline in timelines]


def at_level(law: AlertLaw, t_hi: float) -> AlertLaw:
    """The law entered from another threshold, and left at the same share of it."""
    return msgspec.structs.replace(law, t_hi=t_hi, t_lo=round(t_hi * law.t_lo / law.t_hi, 4))


def curve(law: AlertLaw, timelines: Sequence[Timeline]) -> list[dict[str, Any]]:
    """Sensitivity against alert burden, the threshold swept."""
    laws = [at_level(law, t_hi) for t_hi in sorted({*LEVELS, law.t_hi})]
    return [
        {"t_hi": one.t_hi, **_short(outcomes)} for one, outcomes in zip(laws, under_each(laws, timelines), strict=True)
    ]


def grid(law: AlertLaw, t_hi: float) -> dict[Rest, AlertLaw]:
    """The laws to choose from that are entered at one threshold, by what else tells them apart."""
    return {
        (share, m, n): msgspec.structs.replace(law, t_hi=t_hi, t_lo=round(share * t_hi, 4), m=m, n=n)
        for share, (m, n) in product(LOW_SHARES, OF_FRAMES)
    }


def measured(law: AlertLaw, timelines: Sequence[Timeline]) -> list[tuple[AlertLaw, dict[str, Any]]]:
    """The grid's laws and their figures, from the highest threshold down; below one that is HOPELESS none is tried."""
    found: list[tuple[AlertLaw, dict[str, Any]]] = []
    hopeless: set[Rest] = set()
    for t_hi in sorted(LEVELS, reverse=True):
        laws = {rest: one for rest, one in grid(law, t_hi).items() if rest not in hopeless}
        for (rest, one), outcomes in zip(laws.items(), under_each(list(laws.values()), timelines), strict=True):
            figures = _short(outcomes)
            found.append((one, figures))
            if figures["false_per_min"] > HOPELESS:
                hopeless.add(rest)
    return found


def choose(law: AlertLaw, timelines: Sequence[Timeline]) -> tuple[AlertLaw, list[dict[str, Any]]]:
    """The best law of the grid, and it and its equals with their figures.

    Best is what meets all of GOALS, else all that is asked at least, else all of that but the lesions found: an alert
    that cries wolf is switched off, so the burden binds first. Of those the law that finds most lesions, then the one
    that raises the fewest false alerts. Of equals the one whose threshold is in the middle: it is farthest from either
    cliff.
    """
    found = measured(law, timelines)
    best = max(_rank(figures) for _, figures in found)
    equals = sorted(
        ((one, figures) for one, figures in found if _rank(figures) == best),
        key=lambda each: (each[0].t_hi, -each[1]["toggles_per_lesion_s"], -(each[1]["median_ms"] or 0.0)),
    )
    told = [{"law": msgspec.to_builtins(one), **figures} for one, figures in equals]
    return equals[len(equals) // 2][0], told


def _rank(found: dict[str, Any]) -> tuple[float, ...]:
    goal, least = (
        [name for name, limits in GOALS.items() if not _meets(found[name], limits[at], name)] for at in (0, 1)
    )
    tier = 3 if not goal else 2 if not least else 1 if least == ["lesion_sensitivity"] else 0
    return (tier, -len(least) if tier == 0 else 0, found["lesion_sensitivity"], -found["false_per_min"])


def _meets(value: float | None, limit: float, name: str) -> bool:
    if value is None:
        return False
    return value >= limit if name == "lesion_sensitivity" else value <= limit


def _short(outcomes: Outcomes) -> dict[str, Any]:
    rows = outcomes.everyone()
    wait = outcomes.alert_ms(rows, 50)
    return {
        "lesion_sensitivity": round(outcomes.sensitivity(rows), 4),
        "false_per_min": round(outcomes.false_per_min(rows), 4),
        "toggles_per_lesion_s": round(outcomes.flicker(rows), 4),
        "median_ms": None if wait != wait else round(wait, 1),  # noqa: PLR0124  (NaN)
    }
