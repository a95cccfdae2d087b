# ruff: noqa: INP001  (a file beside the code, not a package)
"""The images' HEALTHCHECK: whether what listens at SONO_HEALTH_URL answers and, where that is /metrics, works.

Healthy is an ingest or engine that its broker and its database have let in; a page that answers.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 8.0
BROKEN = ("sono_fleet_broker_connected 0", "sono_fleet_database_up 0")


def trouble(url: str) -> str:
    """What is wrong, in a line; empty: nothing."""
    if not url.startswith(("http://", "https://")):
        return f"SONO_HEALTH_URL {url!r} is no http address"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310  (checked above)
            lines = answer.read().decode("utf-8", "replace").splitlines()
    except urllib.error.HTTPError as problem:
        return "" if problem.code in {401, 403} else f"{url}: {problem}"  # it wants a login: it lives
    except OSError as problem:
        return f"{url}: {problem}"
    return next((line for line in lines if line.startswith(BROKEN)), "")


if __name__ == "__main__":
    said = trouble(os.environ.get("SONO_HEALTH_URL", ""))
    if said:
        print(said)  # noqa: T201  (the engine keeps it with the container's state)
        sys.exit(1)
