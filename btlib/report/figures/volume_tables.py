"""The comparisons of the 3D study as Markdown, and whether the paper's claim holds."""

from btlib.core.runtime.arm_names import FULL
from btlib.report.figures.forest import seeds_words
from btlib.report.figures.numbers import PERCENT, Score, p_value, spoken
from btlib.report.figures.wording import bullets, markdown_table, scores_of
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.evaluation import ablation as joint_ablation
from btlib.volumes.evaluation import modalities, uncertainty
from btlib.volumes.evaluation.metrics import COMPARED, METRICS
from btlib.volumes.evaluation.modalities import SUBSETS, WITHOUT
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
AREA, WRONG_VOXELS = Score("AUROC"), Score("share of wrong voxels", 2, 100.0, PERCENT)


def comparison_markdown(table: dict, missing: dict, doubt: list[dict]) -> str:
    """All results of stage compare_joint, with how to read them.

    Args:
        table: from `joint_ablation.joint_ablation_table`.
        missing: from `modalities.modality_table`.
        doubt: from `uncertainty.uncertainty_rows`.
    """
    sections = []
    if table["rows"]:
        found = "".join(f"- {claim}\n" for claim in claims(table))
        sections += ["## Does joint help?\n", found, joint_ablation_markdown(table), bullets(joint_ablation.READING)]
    if missing["rows"]:
        sections += ["## Missing modalities\n", modality_markdown(missing), bullets(modalities.READING)]
    if doubt:
        sections += ["## What uncertainty is worth\n", uncertainty_markdown(doubt), bullets(uncertainty.READING)]
    return "\n".join(sections)


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


def joint_ablation_markdown(table: dict) -> str:
    """Two tables: mean ± sd over seeds per arm, and the differences from the full network with 95 % interval and p.

    Args:
        table: from `joint_ablation_table`.
    """
    titles = list(TITLES.values())
    scores = [
        [spoken(row["arm"]), seeds_words(row), *(mean_sd(row, name) for name in COMPARED)] for row in table["rows"]
    ]
    compared = [row for row in table["rows"] if row["difference"]]
    differences = [[spoken(row["arm"]), *(_change(row["difference"], name) for name in COMPARED)] for row in compared]
    parts = [markdown_table(["arm", "seeds", *titles], scores)]
    if compared:
        parts.append(markdown_table(["arm minus full", *titles], differences))
    return "\n".join(parts)


def mean_sd(row: dict, name: str) -> str:
    """'0.912 ± 0.010' over an arm's seeds."""
    return SCORES[name].spread(row["mean"][name], row["sd"][name])


def area_words(row: dict, name: str) -> str:
    """'0.912 [0.850, 0.961]' for an area of a row of `uncertainty_rows`."""
    return AREA.estimate(row[name], row["ci95"][name])


def uncertainty_name(method: str) -> str:
    """'mc_entropy' as 'MC dropout, entropy'."""
    return UNCERTAINTY_NAMES.get(method, spoken(method))


def _change(differences: dict, name: str) -> str:
    found = differences[name]
    p = f", p {p_value(found['p_holm'])}" if found.get("p_holm") is not None else ""
    return SCORES[name].signed(found["value"], found["ci95"]) + p


def modality_markdown(table: dict) -> str:
    """One row per choice of modalities: a dot for each given one, then Dice and grade AUC of each arm; averages last.

    Args:
        table: from `modality_table`.
    """
    arms = list(table["average"])
    columns = [f"{TITLES[name]}, {TRAINED.get(arm, spoken(arm))}" for name in SHOWN for arm in arms]
    by_key = {(row["arm"], "+".join(row["modalities"])): row["mean"] for row in table["rows"]}
    lines = [
        ["●" if name in subset.split("+") else "○" for name in MODALITIES]
        + [SCORES[name].said(by_key[arm, subset][name]) for name in SHOWN for arm in arms]
        for subset in SUBSETS
    ]
    average = [SCORES[name].said(table["average"][arm]["mean"][name]) for name in SHOWN for arm in arms]
    text = markdown_table([*MODALITIES, *columns], [*lines, ["average", *[""] * (len(MODALITIES) - 1), *average]])
    if table["difference"]:
        gains = ", ".join(f"{TITLES[name]} {_change(table['difference'], name)}" for name in SHOWN)
        text += f"\nAverage, with minus without modality dropout: {gains}.\n"
    return text


def uncertainty_markdown(rows: list[dict]) -> str:
    """One row per method: how well it finds wrong voxels and wrong grades, with 95 % intervals, and their numbers.

    Args:
        rows: from `uncertainty.uncertainty_rows`.
    """
    header = ["method", "AUROC of wrong voxels", "share of wrong voxels", "AUROC of wrong grades", "wrong grades"]
    lines = [
        [
            uncertainty_name(row["method"]),
            area_words(row, "voxel_error_auroc"),
            WRONG_VOXELS.said(row["voxel_error_rate"]),
            area_words(row, "grade_error_auroc"),
            f"{row['grade_errors']} of {row['n_graded']}",
        ]
        for row in rows
    ]
    return markdown_table(header, lines)
