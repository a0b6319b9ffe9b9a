"""Does joint training help, as the 3D paper claims? And the names that figures of the 3D study share."""

from btlib.core.runtime.arm_names import FULL
from btlib.report.figures.numbers import Score, p_value, spoken
from btlib.report.figures.wording import scores_of
from btlib.volumes.evaluation.metrics import COMPARED, METRICS
from btlib.volumes.evaluation.modalities import WITHOUT
from btlib.volumes.evaluation.tables import DICE

SCORES = scores_of(METRICS)
TITLES = {name: METRICS[name].label for name in COMPARED}
TRAINED = {FULL: "with modality dropout", WITHOUT: "without modality dropout"}
SHOWN = (*DICE, "grade_auc")
# the arms that do one task alone, and the scores of which the paper expects more from doing both
ALONE = {"segmentation_only": DICE, "grading_only": ["grade_accuracy", "grade_auc"]}
LEVEL = 0.05  # of the adjusted p, up to which a difference counts as shown
UNCERTAINTY_NAMES = {
    "softmax_entropy": "one pass, entropy",
    "mc_entropy": "MC dropout, entropy",
    "mc_mutual_information": "MC dropout, mutual information",
    "ensemble_entropy": "ensemble, entropy",
    "ensemble_mutual_information": "ensemble, mutual information",
}
AREA = Score("AUROC")


def claims(table: dict) -> list[str]:
    """For each score that the paper expects joint training to raise: the numbers, and whether the rise is shown.

    Args:
        table: from `joint_ablation_table`.
    """
    rows = {row["arm"]: row for row in table["rows"]}
    return [
        f"{TITLES[name]}: {_both_means(rows, arm, name)}; joint minus alone {_joint_minus_alone(found[name], name)}, "
        f"p {p_value(found[name]['p_holm'])}: {_verdict(found[name], _seeds_gaining(rows[FULL], rows[arm], name))}."
        for arm, names in ALONE.items()
        if arm in rows and (found := rows[arm]["difference"])
        for name in names
        if found[name]["value"] is not None
    ]


def _both_means(rows: dict[str, dict], arm: str, name: str) -> str:
    joint, alone = (SCORES[name].said(rows[one]["mean"][name]) for one in (FULL, arm))
    return f"joint {joint}, {spoken(arm)} {alone}"


def _joint_minus_alone(found: dict, name: str) -> str:
    low, high = found["ci95"]
    return SCORES[name].signed(-found["value"], (-high, -low))


def _seeds_gaining(full: dict, alone: dict, name: str) -> list[bool]:
    """Whether the joint network scored higher, for each seed that both arms finished."""
    others = {run["seed"]: run.get(name) for run in alone["seeds"]}
    pairs = [(run.get(name), others.get(run["seed"])) for run in full["seeds"]]
    return [joint > other for joint, other in pairs if joint is not None and other is not None]


def _verdict(found: dict, gaining: list[bool]) -> str:
    """The p-value takes the trained networks as given; where seeds disagree, others might reverse the difference."""
    if found["p_holm"] is None or found["p_holm"] > LEVEL:
        return "no difference shown"
    better = found["value"] < 0
    agreeing = gaining.count(better)
    if agreeing < len(gaining):
        return f"no difference shown, since only {agreeing} of {len(gaining)} seeds agree"
    return f"joint is {'better' if better else 'worse'}, in each of {len(gaining)} seeds"


def mean_sd(row: dict, name: str) -> str:
    """'0.912 ± 0.010' over an arm's seeds."""
    return SCORES[name].spread(row["mean"][name], row["sd"][name])


def area_words(row: dict, name: str) -> str:
    """'0.912 [0.850, 0.961]' for an area of a row of `uncertainty_rows`."""
    return AREA.estimate(row[name], row["ci95"][name])


def uncertainty_name(method: str) -> str:
    """'mc_entropy' as 'MC dropout, entropy'."""
    return UNCERTAINTY_NAMES.get(method, spoken(method))
