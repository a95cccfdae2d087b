"""The live view: a page on this machine that shows the newest scene and brings back what was pressed."""

from sono_edge.view.presses import Capture, EndScan, Press, Seen, SetAI, StartScan
from sono_edge.view.server import View

__all__ = ["Capture", "EndScan", "Press", "Seen", "SetAI", "StartScan", "View"]
