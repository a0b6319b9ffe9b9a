"""Names of the arms without overrides, the reference for every other arm of a table."""

PROPOSED = "proposed"  # in the paper's Tables 4, 5, 6 and 8
FULL = "full"  # in the joint network's ablation
