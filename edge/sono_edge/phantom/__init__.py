"""A simulated breast under a simulated probe: pictures with their truth, the same for the same seed."""

from sono_edge.phantom.stills import still
from sono_edge.phantom.sweep import LesionTruth, PhantomFrame, sweep

__all__ = ["LesionTruth", "PhantomFrame", "still", "sweep"]
