"""The live view: a page on this machine that shows the newest scene and brings back what was pressed."""

from sono_edge.view.presses import Press, Seen, SetAI
from sono_edge.view.server import View

__all__ = ["Press", "Seen", "SetAI", "View"]
