"""The comparisons of the 3D study in Markdown, and whether the paper's claim holds."""

from btlib.core.runtime.arm_names import FULL
from btlib.report.figures.forest import UNDEFINED
from btlib.report.figures.uncertainty_names import UNCERTAINTY_NAMES
from btlib.report.figures.wording import bullets, spoken
from btlib.volumes.data.conventions import MODALITIES, REGIONS
from btlib.volumes.evaluation import ablation as joint_ablation
from btlib.volumes.evaluation import modalities, uncertainty
from btlib.volumes.evaluation.metrics import COMPARED as SCORES
from btlib.volumes.evaluation.modalities import SUBSETS, WITHOUT
from btlib.volumes.evaluation.tables import DICE

TITLES = {
    **{f"dice_{region}": f"Dice {region.upper()}" for region in REGIONS},
    "grade_accuracy": "grade accuracy",
    "grade_auc": "grade AUC",
    "grade_ece": "grade ECE",
}
TRAINED = {FULL: "with modality dropout", WITHOUT: "without modality dropout"}
SHOWN = (*DICE, "grade_auc")
# the arms that do one task alone, and the scores of which the paper expects more from doing both
ALONE = {"segmentation_only": DICE, "grading_only": ["grade_accuracy", "grade_auc"]}
LEVEL = 0.05  # of the adjusted p, up to which a difference counts as shown


def comparison_markdown(table: dict, missing: dict, doubt: list[dict]) -> str:
    """Everything that stage compare_joint found, with what it means.

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
    """For each score of which the paper expects more from doing both tasks: the numbers, and whether that is shown.

    Args:
        table: from `joint_ablation_table`.
    """
    rows = {row["arm"]: row for row in table["rows"]}
    return [
        f"{TITLES[name]}: joint {rows[FULL]['mean'][name]:.3f}, {spoken(arm)} {rows[arm]['mean'][name]:.3f}; "
        f"joint minus alone {_joint_minus_alone(found[name])}, p {p_words(found[name]['p_holm'])}: "
        f"{_verdict(found[name], _seeds_gaining(rows[FULL], rows[arm], name))}."
        for arm, names in ALONE.items()
        if arm in rows and (found := rows[arm]["difference"])
        for name in names
        if found[name]["value"] is not None
    ]


def _joint_minus_alone(found: dict) -> str:
    low, high = found["ci95"]
    return f"{-found['value']:+.3f} [{-high:+.3f}, {-low:+.3f}]"


def _seeds_gaining(full: dict, alone: dict, name: str) -> list[bool]:
    """Of each seed that both arms finished, whether the joint network scored higher."""
    others = {run["seed"]: run.get(name) for run in alone["seeds"]}
    pairs = [(run.get(name), others.get(run["seed"])) for run in full["seeds"]]
    return [joint > other for joint, other in pairs if joint is not None and other is not None]


def _verdict(found: dict, gaining: list[bool]) -> str:
    """The p-value keeps the trained networks; where the seeds disagree, other seeds might turn the difference round."""
    if found["p_holm"] is None or found["p_holm"] > LEVEL:
        return "no difference shown"
    better = found["value"] < 0
    agreeing = gaining.count(better)
    if agreeing < len(gaining):
        return f"no difference shown, since only {agreeing} of {len(gaining)} seeds agree"
    return f"joint is {'better' if better else 'worse'}, in each of {len(gaining)} seeds"


def joint_ablation_markdown(table: dict) -> str:
    """Two tables: mean ± sd over seeds per arm, and the differences to the full network with 95 % interval and p.

    Args:
        table: from `joint_ablation_table`.
    """
    titles = [TITLES[name] for name in SCORES]
    scores = [[spoken(row["arm"]), _seeds(row), *(_mean_sd(row, name) for name in SCORES)] for row in table["rows"]]
    compared = [row for row in table["rows"] if row["difference"]]
    differences = [[spoken(row["arm"]), *(_change(row["difference"][name]) for name in SCORES)] for row in compared]
    parts = [markdown_table(["arm", "seeds", *titles], scores)]
    if compared:
        parts.append(markdown_table(["arm minus full", *titles], differences))
    return "\n".join(parts)


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, one line per row."""
    return "".join(f"| {' | '.join(line)} |\n" for line in [header, ["---"] * len(header), *rows])


def value_words(row: dict, name: str) -> str:
    """'0.912 [0.850, 0.961]' from a row with its ci95, or a dash where undefined."""
    value, ends = row[name], row["ci95"][name]
    if value is None:
        return UNDEFINED
    return f"{value:.3f}" + (f" [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else "")


def p_words(p: float | None) -> str:
    """'0.012', '< 0.001', or a dash where undefined."""
    if p is None:
        return UNDEFINED
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _seeds(row: dict) -> str:
    """'3', or '2 of 3' where one failed."""
    done = sum("failed" not in seed for seed in row["seeds"])
    return str(done) if done == len(row["seeds"]) else f"{done} of {len(row['seeds'])}"


def _mean_sd(row: dict, name: str) -> str:
    mean, sd = row["mean"][name], row["sd"][name]
    if mean is None:
        return UNDEFINED
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} ± {sd:.3f}"


def _change(found: dict) -> str:
    if found["value"] is None:
        return UNDEFINED
    low, high = found["ci95"]
    p = f", p {p_words(found['p_holm'])}" if found.get("p_holm") is not None else ""
    return f"{found['value']:+.3f} [{low:+.3f}, {high:+.3f}]{p}"


def modality_markdown(table: dict) -> str:
    """One row per choice of modalities: a dot for each that is there, then Dice and grade AUC for each arm; averages.

    Args:
        table: from `modality_table`.
    """
    arms = list(table["average"])
    columns = [f"{TITLES[name]}, {TRAINED.get(arm, spoken(arm))}" for name in SHOWN for arm in arms]
    by_key = {(row["arm"], "+".join(row["modalities"])): row["mean"] for row in table["rows"]}
    lines = [
        ["●" if name in subset.split("+") else "○" for name in MODALITIES]
        + [_number(by_key[arm, subset][name]) for name in SHOWN for arm in arms]
        for subset in SUBSETS
    ]
    average = [_number(table["average"][arm]["mean"][name]) for name in SHOWN for arm in arms]
    text = markdown_table([*MODALITIES, *columns], [*lines, ["average", *[""] * (len(MODALITIES) - 1), *average]])
    if table["difference"]:
        gains = ", ".join(f"{TITLES[name]} {_change(table['difference'][name])}" for name in SHOWN)
        text += f"\nAverage, with minus without modality dropout: {gains}.\n"
    return text


def _number(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.3f}"


def uncertainty_markdown(rows: list[dict]) -> str:
    """One row per method: how well it finds wrong voxels and wrong grades, with 95 % intervals, and how many there are.

    Args:
        rows: from `uncertainty.uncertainty_rows`.
    """
    header = ["method", "AUROC of wrong voxels", "share of wrong voxels", "AUROC of wrong grades", "wrong grades"]
    lines = [
        [
            UNCERTAINTY_NAMES.get(row["method"], spoken(row["method"])),
            value_words(row, "voxel_error_auroc"),
            UNDEFINED if row["voxel_error_rate"] is None else f"{row['voxel_error_rate']:.4f}",
            value_words(row, "grade_error_auroc"),
            f"{row['grade_errors']} of {row['n_graded']}",
        ]
        for row in rows
    ]
    return markdown_table(header, lines)
