"""Drift: how far the pictures and scores of a device or a site have moved from what its bundle is used to."""
