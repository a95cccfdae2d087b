"""What the command line says of waves, times and limits, as values. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from sono_fleet.rollout.plan import LIMITS, Limit, Wave
from sono_models.errors import BadConfig

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
WAVES = ("1%", "10%", "50%", "100%")


def seconds(text: str) -> float:
    """`90s`, `30m`, `24h`, `7d`. Raises BadConfig."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if match is None:
        raise BadConfig(f"time {text!r}", "not a time", "Such as 90s, 30m, 24h or 7d")
    return float(match[1]) * UNITS[match[2]]


def wave(text: str, rest: dict[str, Any]) -> Wave:
    """`10%`, `tag:ward`, or either with its own settings: `10%,soak=2h,deadline=4h,max-failures=2,approval`.

    `rest` holds what goes for every wave that does not say otherwise. Raises BadConfig.
    """
    who, *settings = [part.strip() for part in text.split(",")]
    values = dict(rest)
    for setting in settings:
        key, _, value = setting.partition("=")
        values.update(_setting(text, key.replace("-", "_"), value))
    tag = who.removeprefix("tag:") if who.startswith("tag:") else ""
    percent = who.removesuffix("%")
    if not tag and (not who.endswith("%") or not _is_number(percent)):
        raise BadConfig(f"wave {text!r}", "neither a share nor a tag", "Such as 10% or tag:ward")
    tree = {"name": who, "percent": None if tag else float(percent), "tag": tag, **values}
    try:
        return msgspec.convert(tree, Wave)
    except msgspec.ValidationError as problem:
        raise BadConfig(f"wave {text!r}", str(problem), "Such as 10%,soak=2h,max-failures=2") from problem


def limits(texts: list[str], usual: tuple[Limit, ...] = LIMITS) -> tuple[Limit, ...]:
    """The usual limits with those of the command line in their place: `shift:-0.05:0.05` or `agreement:0.95::needed`.

    Raises BadConfig.
    """
    found = {limit.key: limit for limit in usual}
    for text in texts:
        key, *bounds = text.split(":")
        numbers, needed = bounds[:2], bounds[2:] == ["needed"]
        if len(numbers) != 2 or (bounds[2:] and not needed) or not all(_is_number(one) for one in numbers if one):
            raise BadConfig(
                f"limit {text!r}", "not KEY:LEAST:MOST", "Such as shift:-0.05:0.05 or agreement:0.95::needed"
            )
        least, most = (float(one) if one else None for one in numbers)
        kind = found[key].kind if key in found else "clinical"
        found[key] = Limit(key, kind, least, most, needed)
    return tuple(found.values())


def _setting(text: str, key: str, value: str) -> dict[str, Any]:
    if key in {"soak", "deadline"}:
        return {f"{key}_s": seconds(value)}
    if key in {"sample", "max_failures", "at_once"} and value.isdigit():
        return {key: int(value)}
    if key == "approval" and not value:
        return {"approval": True}
    known = "soak, deadline, sample, max-failures, at-once or approval"
    raise BadConfig(f"wave {text!r}", f"{key!r} is no setting of a wave", f"One of {known}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
