"""From a float network to int8 files for two runtimes with one set of integers, and to a bundle."""
