"""Where the phantom's sets lie, for stages that must know them from a user's own."""

PHANTOM_EXTERNAL = "data/raw/phantom_elsewhere"  # the set of the phantom hospital elsewhere
