"""The paper's Tables 1, 4, 5, 6 and 8: every arm over its seeds, beside the paper's number."""

from collections.abc import Mapping, Sequence

from btlib.core.metrics.classification import COMPARED
from btlib.core.metrics.significance import ASSUMPTIONS
from btlib.core.runtime.arm_names import PROPOSED
from btlib.images.evaluation.ablation import READING
from btlib.report.blocks import Block, Bullets, Heading, Section, Table, Text
from btlib.report.figures.numbers import NOTHING, Score, p_value, spoken
from btlib.report.figures.paper import FUSIONS
from btlib.report.figures.wording import named_lines
from btlib.report.scores import SCORES
from btlib.report.study import Study

TABLES = {
    "fusion": "Table 4: fusion of the two backbones",
    "regularisation": "Table 5: Mixup and EMA",
    "baselines": "Table 6: other networks",
    "sensitivity": "Table 8: sensitivity to hyperparameters",
    "lesion": "Lesion head: what each part gains",
}
TESTS = {
    "paired_t": "p, paired t-test",
    "corrected_paired_t": "p, corrected paired t-test",
    "mcnemar": "p, McNemar",
}
FAINT = 0.05  # the paper's level


def ablations_section(study: Study) -> Section:
    blocks: list[Block] = [
        Text(
            "Each arm changes the proposed model as its name indicates, and is trained with the same seeds. The "
            "difference is this run minus the paper; its interval covers only this run's test images."
        ),
        Table(
            "Table 1 of the paper: fusion strategies, as printed (without scores)",
            ("method", "fusion", "attention", "bidirectional", "gating", "calibration"),
            FUSIONS,
            words=True,
            badge="quoted from the paper, no data",
        ),
    ]
    for name, title in TABLES.items():
        blocks += _one_table(study, name, title)
    return Section("ablations", "Ablations and baselines", blocks, study.notes["images"])


def _one_table(study: Study, name: str, title: str) -> list[Block]:
    rows, paper = study.scores(f"ablation_{name}")["rows"], study.paper["tables"][name]
    forest = {f"{name}/forest.png": (f"{title}: mean and 95 % interval of each arm.", f"Forest plot, {name}")}
    short = title.partition(":")[0]
    printed = {score for values in paper.values() if values for score in values}
    return [
        Heading(title),
        Text(finding(rows)),
        *(score_table(short, score, rows, paper, folded=score not in printed) for score in COMPARED),
        *study.figures("ablations", forest),
        *(
            [Bullets(named_lines(ASSUMPTIONS | READING), f"{short}: what the tests and intervals assume")]
            if rows
            else []
        ),
    ]


def finding(rows: Sequence[Mapping]) -> str:
    """The rank of the proposed model by mean accuracy, and whether any arm differs significantly from it."""
    means = {row["arm"]: row["mean"]["accuracy"] for row in rows if row["mean"]["accuracy"] is not None}
    if PROPOSED not in means:
        return "Not run here: only the paper's numbers are shown."
    place = 1 + sum(mean > means[PROPOSED] for mean in means.values())
    compared = {row["arm"]: row["p_value"] for row in rows if row["p_value"] is not None}
    if not compared:
        chance = "The corrected paired t-test, which needs two seeds, is undefined for every arm."
    else:
        least = min(compared, key=compared.__getitem__)
        verdict = "none differs" if compared[least] >= FAINT else "at least one differs"
        chance = (
            f"By the corrected paired t-test, {verdict} from it at the 5 % level; the smallest Holm-adjusted p is "
            f"{p_value(compared[least])} ({spoken(least)})."
        )
    return (
        f"By mean accuracy the proposed model is number {place} of {len(means)} here; the paper has it first. {chance}"
    )


def score_table(
    title: str, name: str, rows: Sequence[Mapping], paper: Mapping[str, Mapping | None], folded: bool
) -> Table:
    """One score of one table, with the tests if it is accuracy; arms that only the paper has come last.

    Args:
        name: one of COMPARED.
        rows: of metrics/ablation_<table>.json.
        paper: arm -> score -> value.
    """
    score, tests = SCORES[name], TESTS if name == "accuracy" else {}
    body = [_row(row, score, name, (paper.get(row["arm"]) or {}).get(name), tests) for row in rows]
    ours = {row["arm"] for row in rows}
    body += [
        (spoken(arm), NOTHING, "not run", NOTHING, score.said(values[name]), NOTHING, *(NOTHING for _ in tests))
        for arm, values in paper.items()
        if arm not in ours and values and name in values
    ]
    columns = ("arm", "seeds", "mean ± sd", "95 % interval", "paper", "difference [95 %]", *tests.values())
    note = "p against the proposed model, Holm-adjusted over the arms." if tests else ""
    return Table(f"{title}, {score.name}", columns, body, note, folded=folded)


def _row(row: Mapping, score: Score, name: str, paper: float | None, tests: Mapping[str, str]) -> tuple[str, ...]:
    failed = [seed for seed in row["seeds"] if "failed" in seed]
    mean, ends = row["mean"].get(name), row["ci95"].get(name)
    found = row["tests"] or {}
    return (
        spoken(row["arm"]),
        f"{len(row['seeds'])}" + (f", {len(failed)} failed" if failed else ""),
        score.spread(mean, row["sd"].get(name)),
        score.interval(ends),
        score.said(paper),
        score.difference(mean, paper, ends),
        *(p_value(found[test]["p_holm"]) if test in found else NOTHING for test in tests),
    )
