"""What post-processing changes: Dice without and with it, on the validation cases that it was chosen on and on test."""

import numpy as np
import pandas as pd

from btlib.volumes.data.conventions import REGIONS
from btlib.volumes.evaluation.cohort import Cohort, estimates, intervals
from btlib.volumes.evaluation.masks import Postprocessing
from btlib.volumes.evaluation.scores import outline_scores
from btlib.volumes.evaluation.tables import DICE


def postprocessing_scores(
    rules: Postprocessing,
    validation: pd.DataFrame,
    segmentation: pd.DataFrame,
    cohort: Cohort,
    resamples: int,
    rng: np.random.Generator,
) -> dict | None:
    """`rules`; for `val` and `test` n and the mean Dice `raw` and `postprocessed`; for `test` also the `difference`.

    The difference has its ci95, from the same resampled cases for both. For `val` there is none, since the rules were
    chosen to raise its Dice.

    Args:
        validation: columns VALIDATION_DICE.
        segmentation: columns SEGMENTATION, of the test cases.
        cohort: the test cases.
        resamples: bootstrap resamples.

    Returns:
        None if nothing was chosen: `joint.postprocess` is off, or no validation case has a segmentation.
    """
    if validation.empty:
        return None
    change = segmentation.assign(dice=segmentation["dice"] - segmentation["dice_raw"])
    drawn = outline_scores(change, cohort.cases, cohort.weights(resamples, rng))
    drawn = {name: drawn[name] for name in DICE}
    test = {**_means(segmentation), "difference": estimates(drawn), "ci95": intervals(drawn)}
    return {"rules": rules.model_dump(), "val": _means(validation), "test": test}


def _means(table: pd.DataFrame) -> dict:
    """n, and the mean Dice by region without and with post-processing; None without cases."""
    means = {"raw": _by_region(table, "dice_raw"), "postprocessed": _by_region(table, "dice")}
    return {"n": table["case"].nunique(), **means}


def _by_region(table: pd.DataFrame, column: str) -> dict[str, float | None]:
    means = table.groupby("region")[column].mean()
    return {name: float(means[region]) if region in means else None for name, region in zip(DICE, REGIONS, strict=True)}
