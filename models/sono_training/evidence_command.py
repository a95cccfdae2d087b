"""`sono model evidence`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sono_training.evidence.check import Verdict
    from sono_training.evidence.made import Evidence


def evidence(
    scores: Annotated[
        Path | None, typer.Option("--scores", help="Folder of score tables. Default: OUT/scores.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option("--results", help="Folder of robustness, gates, repeat, arm .json. Default: OUT/results."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="The real data. Default: ../shared/data beside the checkout.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Default: models/evidence of the checkout.")] = None,
    bundle: Annotated[Path | None, typer.Option("--bundle", help="A bundle, or a folder of bundles.")] = None,
    card: Annotated[
        Path | None, typer.Option("--card", help="The model card. Default: card.md beside the bundle.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="Of a re-scored image; 1e-3 on another kind of CPU.")
    ] = 1e-6,
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; recompute all and name what differs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """Make the evidence anew from score tables, results and data, or check that what is committed says the same."""
    from sono_models.bundle import default_path, read
    from sono_training.evidence import check as checking
    from sono_training.evidence.places import Places, write_all

    found = read(bundle or default_path())
    models = default_path().parents[1]
    folder = out or models / "evidence"
    places = Places(
        scores=scores or folder / "scores",
        results=results or folder / "results",
        data=data or models.parents[1] / "shared" / "data",
        out=folder,
        card=card or found.path.parent / "card.md",
    )
    if check:
        verdict = checking.check(places, found, tolerance=tolerance)
        _print_verdict(verdict, tolerance, as_json=as_json)
        raise typer.Exit(0 if verdict.ok else 1)
    made, left_out = write_all(places, found)
    _print_made(made, left_out, places.out, as_json=as_json)


def _print_verdict(verdict: Verdict, tolerance: float, *, as_json: bool) -> None:
    if as_json:
        said = {"differences": verdict.differences, "unseen": verdict.unseen, "tolerance": tolerance}
        print(json.dumps({"ok": verdict.ok, **said}))
        return
    for words in verdict.unseen:
        print(f"not looked at: {words}")
    for words in verdict.differences:
        print(f"differs: {words}")
    end = f"the evidence is what the bundle, the tables and the data give; scores within {tolerance:g}"
    print(
        end
        if verdict.ok
        else f"{len(verdict.differences)} differences. Next: sono model evidence, then look at git diff"
    )


def _print_made(made: Evidence, left_out: list[str], out: Path, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print(json.dumps({**msgspec.to_builtins(made), "left_out": left_out}))
        return
    for line in made.lines:
        shown = "-" if line.reached is None else f"{line.reached:.4f}"
        print(f"{line.row:<12} {shown:>9}  {line.met:<12}  {line.what}")
    for words in left_out:
        print(f"left out: {words}")
    print(f"wrote {out}. Next: look at {out / 'plots'}, then sono model evidence --check")
