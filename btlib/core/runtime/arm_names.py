"""Names of the arms without overrides, to which every other arm of a table is compared."""

PROPOSED = "proposed"  # of the paper's Tables 4, 5, 6 and 8
FULL = "full"  # of the joint network's ablation
