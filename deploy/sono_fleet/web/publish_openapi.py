"""Write the published OpenAPI document again: `make schemas` after a change of a route."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sono_fleet.database import Database
from sono_fleet.web.app import build_app
from sono_fleet.web.door import Door
from sono_fleet.web.house import build_house


def publish(document: Path) -> None:
    with Database("sqlite://") as database:
        content = build_app(build_house(database, Door(local_only=True, secure=False))).openapi()
    document.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    publish(Path(sys.argv[1]))
