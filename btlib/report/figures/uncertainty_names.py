"""What the ways to be unsure of a volume are called in tables and figures."""

UNCERTAINTY_NAMES = {
    "softmax_entropy": "one pass, entropy",
    "mc_entropy": "MC dropout, entropy",
    "mc_mutual_information": "MC dropout, mutual information",
    "ensemble_entropy": "ensemble, entropy",
    "ensemble_mutual_information": "ensemble, mutual information",
}
