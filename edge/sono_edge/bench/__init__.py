"""Benchmarks as commands: ratios to a floor that is measured in the same run."""
