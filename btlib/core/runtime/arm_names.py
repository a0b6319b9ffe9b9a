"""Names of arms that the code looks for."""

# without overrides, the reference for every other arm of a table
PROPOSED = "proposed"  # in the paper's Tables 4, 5, 6 and 8
FULL = "full"  # in the joint network's ablation

SEGMENTATION_ONLY = "segmentation_only"  # in the joint network's ablation; `radiomics` grades from its masks
RADIOMICS = "radiomics"  # a grader in the joint network's ablation, not the name of an arm
