"""Quantization recipes: small TOML files, `quantize/recipes/*.toml`, that say how int8 is made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from sono_models.errors import BadConfig

Count = Annotated[int, msgspec.Meta(ge=1)]
_NEXT = "Name a recipe such as quantize/recipes/qat.toml"


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How int8 is made of a float network. Pictures are training pictures, drawn by the run's seed.

    Without a recipe: the same as quantize/recipes/ptq.toml.
    """

    name: str = "ptq"
    calibration: Annotated[int, msgspec.Meta(ge=8)] = 128
    """Pictures that give the activations their ranges."""
    correction: Annotated[int, msgspec.Meta(ge=8)] = 64
    """Of them, those that bias correction sees."""
    finetune: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Pictures of the quantization-aware fine-tuning; 0: none (post-training quantization)."""
    epochs: Count = 2
    batch: Count = 8
    rate: Annotated[float, msgspec.Meta(gt=0)] = 3e-4
    """Share of a channel's largest weight a step."""
    plain: bool = True
    """Measure the lesser ways to int8 too."""


DEFAULT = Plan()


def read_plan(path: Path | None, **given: Any) -> Plan:
    """A recipe (None: the default one) with what the caller gives in its place; a given None is nothing given.

    Raises BadConfig naming the field that is wrong.
    """
    try:
        recipe = msgspec.toml.decode(path.read_bytes()) if path else {}
        plan = msgspec.convert({**recipe, **{name: each for name, each in given.items() if each is not None}}, Plan)
    except (OSError, msgspec.DecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadConfig(str(path or "the options"), reason or "cannot be read", _NEXT) from error
    if 0 < plan.finetune < plan.batch:
        raise BadConfig(f"finetune {plan.finetune}", f"is less than one batch of {plan.batch}", "Give more, or 0")
    return plan
