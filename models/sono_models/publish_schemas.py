"""Write the published schemas again: `make schemas` after a change of a message, the manifest or the profile."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sono_models import asyncapi, desired, manifest, messages, profile


def publish(document: Path, folder: Path) -> None:
    _write(document, asyncapi.document())
    _write(folder / "manifest.schema.json", manifest.json_schema())
    _write(folder / "profile.schema.json", profile.json_schema())
    _write(folder / "desired-payload.schema.json", desired.json_schema())
    for topic, schema in messages.json_schemas().items():
        _write(folder / f"{topic}.schema.json", schema)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    publish(Path(sys.argv[1]), Path(sys.argv[2]))
