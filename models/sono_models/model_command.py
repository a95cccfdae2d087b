"""`sono model show | verify`: what any machine with the device install can say of a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from sono_models import DISCLAIMER
from sono_models.command import ModelSides
from sono_models.errors import BadBundle, BadConfig

app = typer.Typer(
    cls=ModelSides, add_completion=False, no_args_is_help=True, help="Train, measure, pack and check models."
)

BundleOption = Annotated[Path | None, typer.Option("--bundle", help="A bundle, or a folder of bundles.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object for machines.")]


@app.callback()
def _group() -> None:
    pass


def show(
    bundle: BundleOption = None,
    *,
    as_json: JsonOption = False,
    card: Annotated[bool, typer.Option("--card", help="Print the model card.")] = False,
) -> None:
    """What a bundle says of itself."""
    from sono_models.bundle import default_path, read

    found = read(bundle or default_path())
    if card:
        print(found.content("card.md").decode())
        return
    manifest = msgspec.to_builtins(found.manifest)
    if as_json:
        print(json.dumps({**manifest, "sha256": found.sha256}))
        return
    print(f"{manifest['name']} {manifest['version']}  {manifest['precision']}  sha256 {found.sha256}")
    print(f"  {manifest['task']}\n  {DISCLAIMER}")
    for point in manifest["operating_points"]:
        print(f"  {point['label']} from {point['threshold']:.3f} (frozen on {point['frozen_on']})")
    for bound in manifest["envelope"]:
        limit = f">= {bound['at_least']}" if bound["at_least"] is not None else f"<= {bound['at_most']}"
        print(f"  {bound['metric']}: {bound['value']:.4f} ({limit})")
    for name, entry in sorted(manifest["files"].items()):
        print(f"  {entry['size']:>9}  {name}")


def verify(bundle: BundleOption = None, *, as_json: JsonOption = False) -> None:
    """Check every bit of a bundle, and that each installed runtime gives its golden vectors."""
    from sono_models.bundle import default_path, read
    from sono_models.checks import further_checks
    from sono_models.reader import golden_difference
    from sono_models.runtime import RUNTIMES

    found = read(bundle or default_path())
    differences: dict[str, float | None] = {}
    for name in RUNTIMES:
        try:
            differences[name] = golden_difference(found, found.runtime(name))
        except (BadConfig, ModuleNotFoundError):
            differences[name] = None
    allowed = found.manifest.golden_tolerance
    failed = [name for name, value in differences.items() if value is not None and value > allowed[name]]
    checks = further_checks(found)
    wrong = [f"{name}: {lines[0]}" for name, lines in checks.items() if lines]
    if as_json:
        ok = not failed and not wrong
        print(json.dumps({"sha256": found.sha256, "golden_difference": differences, "checks": checks, "ok": ok}))
    else:
        print(f"{found.path.name}: intact, sha256 {found.sha256}")
        for runtime, value in differences.items():
            words = "not installed" if value is None else f"golden vectors within {value:.4f} of {allowed[runtime]:.4f}"
            print(f"  {runtime}: {words}")
        for check, lines in checks.items():
            print(f"  {check}: {'not installed' if lines is None else '; '.join(lines) or 'one set in both models'}")
    if wrong:
        raise BadBundle(str(found.path), wrong[0], "Pack it again from one quantization")
    if failed:
        worst = failed[0]
        raise BadBundle(
            str(found.path),
            f"{worst} differs from the golden vectors by {differences[worst]:.4f}, allowed is {allowed[worst]:.4f}",
            "Use the other runtime on this machine, and report its kind",
        )
