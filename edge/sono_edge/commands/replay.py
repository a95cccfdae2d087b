"""`sono replay`."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from sono_models.runtime import RuntimeName


def replay(
    source: Annotated[str, typer.Argument(help="A video, an image folder or manifest, a DICOM cine, phantom:SEED.")],
    bundle: Annotated[Path | None, typer.Option("--bundle", help="A bundle, or a folder of bundles.")] = None,
    runtime: Annotated[RuntimeName, typer.Option("--runtime", help="Which runtime.")] = "onnx",
    profile: Annotated[str, typer.Option("--profile", help="A site profile.")] = "",
    profile_key: Annotated[str, typer.Option("--profile-key", help="The public key of who made it.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="A JSONL file; default: standard output.")] = None,
    workers: Annotated[int, typer.Option("--workers", help="Score so many frames side by side.", min=1)] = 1,
    frames: Annotated[int | None, typer.Option("--frames", help="Stop after so many frames.", min=1)] = None,
) -> None:
    """Judge every frame of a source, in order, nothing dropped; the same input gives the same bytes."""
    from sono_edge.replay import replay as replayed
    from sono_edge.site_profile import under_profile
    from sono_edge.sources import open_source
    from sono_models.atomic import writing
    from sono_models.bundle import default_path, read
    from sono_models.errors import BadConfig

    opened = open_source(source)
    if opened.live:
        raise BadConfig(source, "a live source cannot be replayed", "Name a file, or use sono run")
    if bool(profile) != bool(profile_key):
        raise BadConfig("--profile and --profile-key", "go together", "Give both, or neither")
    found, named = under_profile(read(bundle or default_path()), profile, profile_key, site=None)
    scored = raised = 0
    with writing(out) if out else nullcontext(sys.stdout) as file:
        for line in replayed(opened, found, runtime, workers=workers, frames=frames, profile=named):
            file.write(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")
            scored += "frame" in line
            raised += line.get("alert", {}).get("kind") == "raised"
    typer.echo(f"{scored} frames, {raised} alerts", err=True)
