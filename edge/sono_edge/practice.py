"""What a person can practise on: the scenarios' names and lines alone, so that nothing is drawn to list them."""

from __future__ import annotations

from dataclasses import dataclass

from sono_models.errors import BadConfig


@dataclass(frozen=True, slots=True)
class Scenario:
    """`line` is what happens, in one line. `broker_away_s`: from when to when `sono demo` takes the broker away."""

    line: str
    broker_away_s: tuple[float, float] | None = None


SCENARIOS = {
    "quiet": Scenario("a quiet scan, no alert"),
    "lesion": Scenario("a lesion to look at again; it goes and comes back"),
    "trouble": Scenario("everything goes wrong, and the broker is away", broker_away_s=(6.0, 24.0)),
}


def scenario_of(name: str) -> Scenario:
    """Raises BadConfig for a name that is not known."""
    if name not in SCENARIOS:
        raise BadConfig(f"scenario {name!r}", "there is no such scenario", f"Name one of {', '.join(SCENARIOS)}")
    return SCENARIOS[name]


def listed() -> str:
    """Every scenario with its line, a paragraph each, for a command's help."""
    return "\n\n".join(f"{name}: {one.line}" for name, one in SCENARIOS.items())
