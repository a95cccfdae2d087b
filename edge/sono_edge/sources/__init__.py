"""Where pictures come from: one small module a kind, each a `Source`. A new kind is one file and a line in open.py."""

from sono_edge.sources.open import open_source

__all__ = ["open_source"]
