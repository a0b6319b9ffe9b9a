"""The 3D study: segmentation, grading, ablation (its Table 1), missing modalities, uncertainty and heat maps."""

from collections.abc import Mapping, Sequence

from btlib.report.blocks import Block, Bullets, Heading, Section, Table, Text
from btlib.report.figures.numbers import GLUE, NOTHING, PERCENT, Score, count, p_value
from btlib.report.figures.volume_claims import arm_name, arm_notes, claims, uncertainty_name
from btlib.report.figures.wording import named_lines
from btlib.report.scores import JOINT_SCORES
from btlib.report.sections.calibration import grade_calibration
from btlib.report.sections.gradcam import heat_tables
from btlib.report.sections.postprocessing import postprocessing_tables
from btlib.report.study import Study
from btlib.volumes.data.conventions import MODALITIES, REGION_NAMES
from btlib.volumes.evaluation.ablation import READING
from btlib.volumes.evaluation.metrics import COMPARED, METRICS, OUTLINES

MISSING_SCORES = {name: METRICS[name].label for name in ("dice_wt", "dice_tc", "dice_et", "grade_auc")}
MILLILITERS = Score("ml", 1, behind=f"{GLUE}ml")
AREA, SHARE = Score("AUROC"), Score("share", 2, 100.0, PERCENT)
SCORE_FIGURES = {
    "segmentation.png": ("Dice and HD95 of every test case.", "Dice and HD95 of each case by region and grade"),
    "volumes.png": ("Volumes against the true ones.", "Predicted minus true volume of each case, by region"),
    "grade.png": ("The grade: ROC curve and reliability.", "ROC curve of the grade and its reliability diagram"),
}
UNCERTAINTY_FIGURE = {
    "uncertainty.png": (
        "Uncertainty as an error detector.",
        "Areas under the ROC curve of each method, and the error left when the least certain voxels are set aside",
    ),
}
ABLATION_FIGURES = {
    "forest.png": ("Arms against the full network.", "Forest plot of the arms"),
    "modalities.png": ("Dice with each subset of modalities.", "Bars of Dice for the 15 subsets of modalities"),
}
CURVES = {"curves.png": ("Training curves of the joint network.", "Loss and Dice over the epochs")}


def joint_section(study: Study) -> Section:
    found, table = study.scores("joint3d"), study.scores("ablation_joint")
    blocks: list[Block] = [
        Text(
            "The 3D paper gives no numbers in its text and its Table 1 is a picture, so there is nothing to compare "
            "these scores with. Dice and HD95 are on the grid of the input files."
        ),
        Heading("Scores"),
        headline_table(found),
        *_by_grade(found),
        *_volumes(found),
        *postprocessing_tables(found["postprocessing"]),
        *grade_calibration(study),
        *study.figures("joint_evaluate", SCORE_FIGURES),
        *study.figures("joint_evaluate", CURVES),
        Heading("Ablation"),
        *_ablation(study, table),
        *_missing(table.get("missing_modalities") or {}),
        *study.figures("joint_ablation", ABLATION_FIGURES),
        Heading("Uncertainty"),
        *_uncertainty("Main network", found["uncertainty"]),
        *study.figures("joint_evaluate", UNCERTAINTY_FIGURE),
        *_uncertainty("Ablation, with its seeds as an ensemble", table.get("uncertainty") or []),
        *study.figures("joint_ablation", UNCERTAINTY_FIGURE),
        Heading("Where it looks"),
        *_explained(study),
    ]
    return Section("joint", "3D: segmentation and grading", blocks, study.notes["volumes"])


def headline_table(found: Mapping) -> Table:
    """Every score that is defined, with its bootstrap interval and, for shares of cases, the exact one."""
    exact = found["grade_ci95_exact"]
    rows = [
        (
            score.name,
            score.said(found[name]),
            score.interval(found["ci95"][name]),
            score.interval(exact[name]) if name in exact else "",
        )
        for name, score in JOINT_SCORES.items()
        if found.get(name) is not None
    ]
    note = (
        f"{count(found['n_test'])} test cases of {count(found['n_patients'])} patients, {count(found['n_segmented'])} "
        f"with a segmentation, {count(found['n_graded'])} with a grade. A bootstrap interval shrinks to a point if no "
        "case is wrong; the exact interval does not."
    )
    return Table("Test cases", ("score", "value", "95 % interval", "exact interval"), rows, note)


def _by_grade(found: Mapping) -> list[Table]:
    parts = {grade: part for grade, part in found["by_grade"].items() if part["n"]}
    if not parts:
        return []
    rows = [("cases", *(count(part["n"]) for part in parts.values()))]
    rows += [
        (JOINT_SCORES[name].name, *(JOINT_SCORES[name].estimate(p[name], p["ci95"][name]) for p in parts.values()))
        for name in OUTLINES
    ]
    return [Table("By grade", ("score", *parts), rows)]


def _volumes(found: Mapping) -> list[Table]:
    if not found["n_segmented"]:
        return []
    error = Score("error", 0, 100.0, PERCENT)
    rows = [
        (
            REGION_NAMES[region],
            error.estimate(part["median_error"], part["ci95"]["median_error"]),
            *(MILLILITERS.estimate(part[name], part["ci95"][name]) for name in ("bias_ml", "lower_ml", "upper_ml")),
        )
        for region, part in found["volumes"].items()
    ]
    note = (
        "Median error: of |predicted − true| / true, over the cases that have the region. Bias: mean of predicted − "
        "true; 95 % of the differences lie within the limits if they are normally distributed (Bland and Altman 1986)."
    )
    columns = ("region", "median error", "bias", "lower limit", "upper limit")
    return [Table("Volumes", columns, rows, note)]


def _ablation(study: Study, table: Mapping) -> list[Block]:
    rows = table["rows"]
    if len(rows) < 2:
        return [Text("The ablation (the 3D paper's Table 1) was not run here: joint.ablation.arms is empty.")]
    reading = [*claims(table), *arm_notes(table), *named_lines(READING)]
    return [
        arm_table(rows),
        difference_table(rows),
        Bullets(reading, "Does joint training help? Findings, and what the tests assume"),
    ]


def arm_table(rows: Sequence[Mapping]) -> Table:
    """Mean ± sd over the seeds, the interval below."""
    body = [
        (
            arm_name(row["arm"]),
            str(len(row["seeds"])),
            *(_mean(JOINT_SCORES[name], row["mean"][name], row["sd"][name], row["ci95"][name]) for name in COMPARED),
        )
        for row in rows
    ]
    columns = ("arm", "seeds", *(JOINT_SCORES[name].name for name in COMPARED))
    return Table("Ablation (the 3D paper's Table 1)", columns, body, "Second line: 95 % interval over cases.")


def difference_table(rows: Sequence[Mapping]) -> Table:
    """Each arm minus the full network, with its interval, and the adjusted p below."""
    body = [
        (arm_name(row["arm"]), *(_change(JOINT_SCORES[name], row["difference"][name]) for name in COMPARED))
        for row in rows
        if row["difference"]
    ]
    columns = ("arm minus full", *(JOINT_SCORES[name].name for name in COMPARED))
    note = "p is Holm-adjusted over the arms: Wilcoxon for Dice, McNemar for accuracy, paired bootstrap for AUC."
    return Table("Each arm against the full network", columns, body, note)


def _mean(score: Score, mean: float | None, sd: float | None, ends: Sequence[float] | None) -> str:
    return NOTHING if mean is None else f"{score.spread(mean, sd)}\n{score.interval(ends)}"


def _change(score: Score, found: Mapping) -> str:
    if found["value"] is None:
        return NOTHING
    p = found.get("p_holm")
    return score.signed(found["value"], found["ci95"]) + ("" if p is None else f"\np {p_value(p)}")


def _missing(found: Mapping) -> list[Block]:
    rows = found.get("rows") or []
    if not rows:
        return []
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    scores = {name: JOINT_SCORES[name] for name in MISSING_SCORES}
    by_choice: dict[tuple[str, ...], dict[str, Mapping]] = {}
    for row in rows:
        by_choice.setdefault(tuple(row["modalities"]), {})[row["arm"]] = row["mean"]
    body = [
        (" + ".join(choice), *(score.said(means[arm][name]) for name, score in scores.items() for arm in arms))
        for choice, means in by_choice.items()
    ]
    average = found["average"]
    body.append(("average", *(s.said(average[arm]["mean"][name]) for name, s in scores.items() for arm in arms)))
    how = {"full": "with", "no_modality_dropout": "without"}
    columns = ("modalities", *(f"{short}\n{how.get(arm, arm)}" for short in MISSING_SCORES.values() for arm in arms))
    note = "With and without modality dropout in training. Missing modalities are set to 0, the mean of the brain."
    if found["difference"]:
        changes = [f"{s.name} {_change(s, found['difference'][name])}" for name, s in scores.items()]
        note += " Average, with minus without: " + "; ".join(changes) + "."
    marked = frozenset({len(by_choice)} | {n for n, c in enumerate(by_choice) if len(c) == len(MODALITIES)})
    return [Table("Missing modalities", columns, body, note, marked)]


def _uncertainty(title: str, rows: Sequence[Mapping]) -> list[Block]:
    body = [
        (
            uncertainty_name(row["method"]),
            AREA.estimate(row["voxel_error_auroc"], row["ci95"]["voxel_error_auroc"]),
            SHARE.said(row["voxel_error_rate"]),
            AREA.estimate(row["grade_error_auroc"], row["ci95"]["grade_error_auroc"]),
            f"{row['grade_errors']} of {row['n_graded']}",
        )
        for row in rows
    ]
    columns = ("method", "finds wrong voxels (AUROC)", "wrong voxels", "finds wrong grades (AUROC)", "wrong grades")
    return [Table(title, columns, body)] if body else []


def _explained(study: Study) -> list[Block]:
    found = study.scores("explain_joint")
    folder = study.pictures["joint_explain"]
    captions = {
        path.name: (
            f"Case {path.stem}: modalities, truth, prediction, attention, Grad-CAM of the grade, uncertainty.",
            f"Slices of the volume {path.stem} with the network's outputs",
        )
        for path in sorted(folder.glob("*.png"))
    }
    return [*heat_tables(found), *study.figures("joint_explain", captions)]
