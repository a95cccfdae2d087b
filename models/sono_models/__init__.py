"""The shared vocabulary of SonoEdge: input spec, preprocess, runtimes, bundle, messages."""

__version__ = "0.1.0"

DISCLAIMER = "Research prototype, not a medical device."
