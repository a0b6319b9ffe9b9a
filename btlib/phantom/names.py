"""Paths of the phantom data sets, so that stages can distinguish them from a user's own."""

PHANTOM_EXTERNAL = "data/raw/phantom_elsewhere"  # the phantom data set of another hospital
