"""Does joint training help, as the 3D paper claims? And the names that figures of the 3D study share."""

from collections.abc import Sequence

from btlib.core.runtime.arm_names import FULL, RADIOMICS, SEGMENTATION_ONLY
from btlib.report.figures.numbers import Score, p_value, spoken
from btlib.report.figures.wording import scores_of
from btlib.volumes.evaluation.metrics import COMPARED, METRICS
from btlib.volumes.evaluation.modalities import WITHOUT
from btlib.volumes.evaluation.tables import DICE

SCORES = scores_of(METRICS)
TITLES = {name: METRICS[name].label for name in COMPARED}
TRAINED = {FULL: "with modality dropout", WITHOUT: "without modality dropout"}
SHOWN = (*DICE, "grade_auc")
GRADE = ("grade_accuracy", "grade_auc")
# arms under their usual names, as in params.yaml
ARM_NAMES = {"resnet10": "ResNet-10", "resnet18": "ResNet-18", "densenet121": "DenseNet-121"}
ARM_NOTES = {
    RADIOMICS: (
        f"Logistic regression on volumes, shape and intensities under the masks that {spoken(SEGMENTATION_ONLY)} "
        "predicts; fitted on the training cases, which that network has seen."
    ),
    **dict.fromkeys(ARM_NAMES, "A plain 3D CNN on the same augmented volumes, trained with the grade's loss alone."),
}
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

    They are the scores of arms that do only one of the full network's tasks.

    Args:
        table: from `joint_ablation_table`.
    """
    rows = {row["arm"]: row for row in table["rows"]}
    return [
        f"{TITLES[name]}: {_both_means(rows, arm, name)}; joint minus {arm_name(arm)} "
        f"{_joint_minus_alone(found[name], name)}, p {p_value(found[name]['p_holm'])}: "
        f"{_verdict(found[name], _seeds_gaining(rows[FULL], rows[arm], name))}."
        for arm, row in rows.items()
        if (found := row["difference"])
        for name in _of_one_task(rows[FULL]["mean"], row["mean"])
        if found[name]["value"] is not None
    ]


def arm_name(arm: str) -> str:
    """'ResNet-10', 'grading only'."""
    return ARM_NAMES.get(arm, spoken(arm))


def arm_notes(table: dict) -> list[str]:
    """'name: what it is' for the arms in the table that are not the joint network with other settings."""
    arms = [row["arm"] for row in table["rows"]]
    return [f"{arm_name(arm)}: {ARM_NOTES[arm]}" for arm in arms if arm in ARM_NOTES]


def _of_one_task(full: dict, arm: dict) -> Sequence[str]:
    """The scores of an arm's task if it has only one of the full network's two tasks; else none.

    Args:
        full, arm: their means by score, None where they lack it.
    """
    lacks_dice, lacks_grade = (
        any(full[name] is not None and arm[name] is None for name in names) for names in (DICE, GRADE)
    )
    if lacks_dice == lacks_grade:
        return ()
    return GRADE if lacks_dice else DICE


def _both_means(rows: dict[str, dict], arm: str, name: str) -> str:
    joint, alone = (SCORES[name].said(rows[one]["mean"][name]) for one in (FULL, arm))
    return f"joint {joint}, {arm_name(arm)} {alone}"


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
