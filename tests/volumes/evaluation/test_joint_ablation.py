import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, wilcoxon
from sklearn.metrics import roc_auc_score

from btlib.core.metrics.resampling import interval
from btlib.core.metrics.score_table import read_scores
from btlib.core.metrics.significance import holm
from btlib.core.runtime.artifacts import read_json, write_csv
from btlib.core.runtime.errors import InputError
from btlib.report.figures.numbers import GLUE
from btlib.report.figures.volume_claims import claims
from btlib.volumes.evaluation.ablation import joint_ablation_table
from btlib.volumes.evaluation.metrics import COMPARED
from btlib.volumes.evaluation.modalities import SUBSETS, modality_table
from btlib.volumes.evaluation.tables import (
    CASE_SCORES,
    DICE,
    Comparison,
    read_case_scores,
    read_comparison,
)
from tests.volumes.evaluation import joint_make

ROOT = Path(__file__).parents[3]


def write_study(folder, scores=None, runs=None, modality_scores=None):
    """Writes the study's folder as stage ablate_joint does; None: the table of joint_make."""
    write_csv(folder / "cases.csv", joint_make.case_scores() if scores is None else scores)
    write_csv(folder / "runs.csv", joint_make.runs() if runs is None else runs)
    write_csv(folder / "modalities.csv", joint_make.modality_scores() if modality_scores is None else modality_scores)
    write_csv(folder / "voxel_errors.csv", joint_make.voxel_errors())
    write_csv(folder / "grade_uncertainty.csv", joint_make.grade_uncertainty())
    return folder


def table(found: Comparison, resamples: int = 99) -> dict[str, dict]:
    settings = (15, resamples, np.random.default_rng(0))
    rows = joint_ablation_table(found.cohort, found.arms, found.failures, *settings)["rows"]
    return {row["arm"]: row for row in rows}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Comparison:
    return read_comparison(write_study(tmp_path_factory.mktemp("study")))


def of(arm: str):
    """The rows of one arm in the table."""
    scores = joint_make.case_scores()
    return scores[scores["arm"] == arm]


def graded(rows):
    return rows[rows["grade"] != ""]


def auc(rows) -> float:
    return roc_auc_score(rows["grade"] == "HGG", rows["p_HGG"])


def test_mean_and_spread_over_seeds(study):
    row, arm = table(study)["no_attention"], of("no_attention")
    dice = arm.groupby("seed")["dice_wt"].mean()
    areas = [auc(graded(rows)) for _, rows in arm.groupby("seed")]
    assert [seed["seed"] for seed in row["seeds"]] == [0, 1, 2]
    assert [seed["dice_wt"] for seed in row["seeds"]] == pytest.approx(dice.tolist())
    assert row["mean"]["dice_wt"] == pytest.approx(dice.mean()) and row["sd"]["dice_wt"] == pytest.approx(dice.std())
    assert row["mean"]["grade_auc"] == pytest.approx(np.mean(areas))
    assert row["sd"]["grade_auc"] == pytest.approx(np.std(areas, ddof=1))


def test_dice_differences_are_tested_per_patient(study):
    arm, full = of("no_attention"), of("full")
    for name in DICE:
        gained = arm.groupby(["patient", "case"])[name].mean() - full.groupby(["patient", "case"])[name].mean()
        by_patient = gained.dropna().groupby("patient").mean()
        assert len(by_patient) == 11  # two of the twelve cases share a patient
        found = table(study)["no_attention"]["difference"][name]
        assert found["value"] == pytest.approx(gained.mean()) and found["value"] < 0
        assert found["p"] == pytest.approx(wilcoxon(by_patient).pvalue)


def test_the_interval_of_a_difference_uses_the_same_cases_for_both(study):
    weights = study.cohort.weights(99, np.random.default_rng(0))[1:, study.cohort.segmented]
    both = [of(arm).groupby("case")["dice_et"].mean().dropna() for arm in ("no_attention", "full")]
    expected = interval(weights @ (both[0] - both[1]).to_numpy() / weights.sum(axis=1))
    assert table(study)["no_attention"]["difference"]["dice_et"]["ci95"] == pytest.approx(expected)


def test_grade_differences(study):
    arm, full = graded(of("no_attention")), graded(of("full"))
    found = table(study, resamples=19)["no_attention"]["difference"]
    right = [((rows["p_HGG"] > 0.5) == (rows["grade"] == "HGG")).to_numpy() for rows in (full, arm)]
    only_full, only_arm = (right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()
    assert found["grade_accuracy"]["value"] == pytest.approx(right[1].mean() - right[0].mean())
    assert found["grade_accuracy"]["p"] == pytest.approx(binomtest(only_arm, only_full + only_arm).pvalue)

    def mean_auc(rows, drawn):
        parts = [part.assign(times=part["case"].map(drawn)) for _, part in rows.groupby("seed")]
        return np.mean([roc_auc_score(p["grade"] == "HGG", p["p_HGG"], sample_weight=p["times"]) for p in parts])

    weights = study.cohort.weights(19, np.random.default_rng(0))[1:]
    times = [dict(zip(study.cohort.cases, row, strict=True)) for row in weights]
    drawn = np.round([mean_auc(arm, row) - mean_auc(full, row) for row in times], 12)
    rarer = min((drawn <= 0).sum(), (drawn >= 0).sum())
    assert found["grade_auc"]["ci95"] == pytest.approx(interval(drawn))
    assert found["grade_auc"]["p"] == pytest.approx(min(1, 2 * (1 + rarer) / 20))


def test_p_is_adjusted_over_the_arms_that_have_the_score(study):
    rows = table(study)
    others = [row for arm, row in rows.items() if arm != "full"]
    for name in COMPARED:
        p = [row["difference"][name]["p"] for row in others]
        assert [row["difference"][name]["p_holm"] for row in others] == holm(p)
    assert rows["no_attention"]["p_value"] == rows["no_attention"]["difference"]["dice_wt"]["p_holm"]
    assert rows["grading_only"]["p_value"] == rows["grading_only"]["difference"]["grade_auc"]["p_holm"]
    assert rows["full"]["difference"] is None and rows["full"]["p_value"] is None


def test_scores_that_an_arm_lacks_are_null(study):
    rows = table(study)
    for arm, undefined in (
        ("segmentation_only", COMPARED[3:]),
        *((arm, COMPARED[:3]) for arm in joint_make.GRADE_ONLY),
    ):
        for name in COMPARED:
            known = name not in undefined
            assert (rows[arm]["mean"][name] is not None) == known == (rows[arm]["ci95"][name] is not None)
            assert (rows[arm]["difference"][name]["value"] is not None) == known
    assert rows["segmentation_only"]["difference"]["grade_accuracy"]["p"] is None
    json.dumps(rows, allow_nan=False)


@pytest.mark.parametrize("arm", ["radiomics", "resnet10"])
def test_graders_have_the_grades_scores_and_are_tested_by_auc(study, arm):
    row, rows = table(study)[arm], graded(of(arm))
    areas = [auc(part) for _, part in rows.groupby("seed")]
    assert row["mean"]["grade_auc"] == pytest.approx(np.mean(areas))
    full = [auc(part) for _, part in graded(of("full")).groupby("seed")]
    assert row["difference"]["grade_auc"]["value"] == pytest.approx(np.mean(areas) - np.mean(full))
    assert row["p_value"] == row["difference"]["grade_auc"]["p_holm"] is not None
    assert row["mean"]["grade_ece"] is not None and row["mean"]["dice_wt"] is None


def test_an_arm_equal_to_the_full_one_has_no_difference_and_is_not_tested(study):
    again = study._replace(
        arms=study.arms | {"no_attention": study.arms["full"]},
        failures={arm: study.failures[arm] for arm in ("full", "no_attention")},
    )
    for found in table(again)["no_attention"]["difference"].values():
        assert found == {"value": 0, "ci95": [0, 0], "p": None, "p_holm": None}


def test_a_failed_run_is_named_and_the_other_seeds_are_compared(tmp_path):
    scores, runs = joint_make.case_scores(), joint_make.runs()
    lost = (scores["arm"] == "no_attention") & (scores["seed"] == 1)
    runs.loc[(runs["arm"] == "no_attention") & (runs["seed"] == 1), "failed"] = "loss became nan"
    row = table(read_comparison(write_study(tmp_path, scores[~lost], runs)))["no_attention"]
    assert row["seeds"][1] == {"seed": 1, "failed": "loss became nan"}
    both = [of(arm).query("seed != 1")["dice_wt"].mean() for arm in ("no_attention", "full")]
    assert row["difference"]["dice_wt"]["value"] == pytest.approx(both[0] - both[1])


@pytest.mark.parametrize("failed", ["no_attention", "full"])
def test_an_arm_whose_runs_all_failed_has_a_row_of_nulls(tmp_path, failed):
    scores, runs = joint_make.case_scores(), joint_make.runs()
    runs.loc[runs["arm"] == failed, "failed"] = "diverged"
    found = table(read_comparison(write_study(tmp_path, scores[scores["arm"] != failed], runs)))
    assert list(found) == list(joint_make.ARMS)
    assert [seed["failed"] for seed in found[failed]["seeds"]] == ["diverged"] * 3
    assert set(found[failed]["mean"].values()) == {None} and found[failed]["difference"] is None
    assert (found["segmentation_only"]["difference"] is None) == (failed == "full")


def row(arm, mean, difference=None, scores=COMPARED, seeds=3) -> dict:
    """A row of the table with the same mean, and the same (value, low, high, p), for these scores."""
    keys = ("value", "ci95", "p", "p_holm")
    found = difference and dict(zip(keys, (difference[0], difference[1:3], difference[3], difference[3]), strict=True))
    nothing = dict.fromkeys(keys)
    means = {name: mean if name in scores else None for name in COMPARED}
    return {
        "arm": arm,
        "seeds": [{"seed": seed, **means} for seed in range(seeds)],
        "mean": means,
        "sd": {name: 0.01 if name in scores else None for name in COMPARED},
        "difference": found and {name: found if name in scores else nothing for name in COMPARED},
    }


SEGMENTS, GRADES = COMPARED[:3], COMPARED[3:]


def test_claims_state_the_direction_and_evidence_of_a_difference():
    rows = [
        row("full", 0.8),
        row("segmentation_only", 0.7, (-0.1, -0.15, -0.05, 0.004), SEGMENTS),
        row("grading_only", 0.81, (0.01, -0.02, 0.03, 0.4), GRADES),
        row("no_attention", 0.5, (-0.3, -0.4, -0.2, 0.001)),
    ]
    found = [claim.replace(GLUE, " ") for claim in claims({"rows": rows})]
    assert len(found) == 5
    assert found[0] == (
        "Dice WT: joint 0.800, segmentation only 0.700; joint minus segmentation only +0.100 [+0.050, +0.150], "
        "p 0.004: joint is better, in each of 3 seeds."
    )
    assert found[4] == (
        "grade AUC: joint 0.800, grading only 0.810; joint minus grading only −0.010 [−0.030, +0.020], p 0.400: "
        "no difference shown."
    )
    rows[2] = row("grading_only", 0.9, (0.1, 0.05, 0.15, 0.05), GRADES)
    assert claims({"rows": rows})[4].endswith("p 0.050: joint is worse, in each of 3 seeds.")
    rows[2]["seeds"][1] = {"seed": 1, **dict.fromkeys(COMPARED, 0.7)}
    assert claims({"rows": rows})[4].endswith("p 0.050: no difference shown, since only 2 of 3 seeds agree.")
    rows[2]["seeds"][1] = {"seed": 1, "failed": "diverged"}
    assert claims({"rows": rows})[4].endswith("joint is worse, in each of 2 seeds.")


def test_every_arm_that_only_grades_is_compared_whatever_its_name():
    rows = [
        row("full", 0.8),
        row("radiomics", 0.7, (-0.1, -0.15, -0.05, 0.004), GRADES),
        row("resnet10", 0.5, (-0.3, -0.4, -0.2, 0.001), GRADES),
        row("my_network", 0.5, (-0.3, -0.4, -0.2, 0.001), GRADES),
    ]
    found = [claim.replace(GLUE, " ") for claim in claims({"rows": rows})]
    assert [claim.split(";")[0] for claim in found[1::2]] == [
        "grade AUC: joint 0.800, radiomics 0.700",
        "grade AUC: joint 0.800, ResNet-10 0.500",
        "grade AUC: joint 0.800, my network 0.500",
    ]
    assert [claim.split(":")[0] for claim in found[::2]] == ["grade accuracy"] * 3
    only_segments = [row("full", 0.8, scores=SEGMENTS), row("no_attention", 0.7, (-0.1, -0.15, -0.05, 0.004), SEGMENTS)]
    assert claims({"rows": only_segments}) == []  # the arm does all that the full network does


def missing(study: Comparison) -> dict:
    return modality_table(study.cohort, study.subsets, 15, 60, np.random.default_rng(0))


def test_all_fifteen_subsets_of_modalities_for_both_trainings(study):
    found, scores = missing(study), joint_make.modality_scores()
    assert len(SUBSETS) == 15 and len(found["rows"]) == 30
    assert found["rows"][0]["modalities"] == ["t1"] and found["rows"][14]["modalities"] == ["t1", "t1ce", "t2", "flair"]
    for line in found["rows"]:
        rows = scores[(scores["arm"] == line["arm"]) & (scores["subset"] == "+".join(line["modalities"]))]
        assert line["mean"]["dice_tc"] == pytest.approx(rows["dice_tc"].mean())
        areas = [auc(graded(part)) for _, part in rows.groupby("seed")]
        assert line["mean"]["grade_auc"] == pytest.approx(np.mean(areas))
        low, high = line["ci95"]["dice_tc"]
        assert low < line["mean"]["dice_tc"] < high


def test_averages_over_the_subsets_and_their_paired_difference(study):
    found, scores = missing(study), joint_make.modality_scores()
    means = scores.groupby("arm")["dice_wt"].mean()
    for arm, average in found["average"].items():
        assert average["mean"]["dice_wt"] == pytest.approx(means[arm])
    gain = found["difference"]["dice_wt"]
    assert gain["value"] == pytest.approx(means["full"] - means["no_modality_dropout"]) and gain["value"] > 0
    widths = [np.ptp(gain["ci95"]), np.ptp(found["average"]["full"]["ci95"]["dice_wt"])]
    assert widths[0] < widths[1]  # paired: the difficulty of the cases cancels out


def test_one_training_alone_has_no_difference(study):
    alone = {key: runs for key, runs in study.subsets.items() if key[0] == "full"}
    found = modality_table(study.cohort, alone, 15, 20, np.random.default_rng(0))
    assert found["difference"] is None and list(found["average"]) == ["full"]


def test_missing_and_unknown_subsets_are_refused(study):
    runs = dict(study.subsets)
    runs["full", "t2+t1"] = runs.pop(("full", "t1+t2"))
    with pytest.raises(InputError, match=r"full: t1\+t2 is missing(.|\n)*full: unknown modalities t2\+t1"):
        modality_table(study.cohort, runs, 15, 20, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(index=0), "full, seed 0: case 'case00' and 0 more are missing"),
        (lambda t: t.assign(p_HGG=t["p_HGG"].where(t.index != 3)), "full, seed 0: p_HGG of case 'case03' is empty"),
        (
            lambda t: t.assign(dice_tc=t["dice_tc"].where(t.index != 3)),
            "full, seed 0: dice_tc of case 'case03' is empty",
        ),
        (lambda t: t.assign(dice_tc=t["dice_tc"] * 2), "case 'case00': dice_tc should be within 0 … 1, found 1.[0-9]+"),
        (lambda t: t.assign(patient=t["patient"].where(t.index != 0, "px")), "case 'case00' has more than one patient"),
        (lambda t: t.assign(seed=t["seed"].where(t["seed"] != 1, 0)), "full, 0, case00 occurs more than once"),
    ],
)
def test_faulty_case_scores_are_named(tmp_path, change, message):
    write_csv(tmp_path / "cases.csv", change(joint_make.case_scores()))
    with pytest.raises(InputError, match=message):
        read_case_scores(tmp_path / "cases.csv", CASE_SCORES)


def test_tables_with_different_cases_are_refused(tmp_path):
    scores = joint_make.modality_scores()
    write_study(tmp_path, modality_scores=scores[scores["case"] != "case04"])
    with pytest.raises(InputError, match=r"cases.csv and modalities.csv have different cases"):
        read_comparison(tmp_path)


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """The stage with the committed params.yaml, but few resamples."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("bootstrap: 2000", "bootstrap: 100"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("compare_joint_stage", ROOT / "stages/compare_joint.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda: module.main(Path("study"), Path("metrics/ablation_joint.json"), Path("scores.csv"), Path("figures"))


def test_the_stage_writes_metrics_figures_and_text(compare):
    write_study(Path("study"))
    compare()
    found = read_scores(Path("scores.csv"))
    shown = read_json(Path("metrics/ablation_joint.json"))
    assert set(shown["uncertainty"]) == {row["method"] for row in found["uncertainty"]}
    assert [line["arm"] for line in found["rows"]] == list(joint_make.ARMS)
    assert len(found["missing_modalities"]["rows"]) == 30 and len(found["uncertainty"]) == 2
    names = {path.name for path in Path("figures").iterdir()}
    assert names == {"forest.png", "modalities.png", "uncertainty.png"}


def test_tables_from_before_the_graders_are_still_compared(compare):
    write_study(Path("study"), joint_make.case_scores(joint_make.BEFORE), joint_make.runs(joint_make.BEFORE))
    compare()
    assert [row["arm"] for row in read_json(Path("metrics/ablation_joint.json"))["rows"]] == list(joint_make.BEFORE)
    assert Path("figures/forest.png").is_file()


def test_a_study_that_is_switched_off_gives_empty_tables(compare):
    study = write_study(
        Path("study"), joint_make.case_scores()[:0], joint_make.runs()[:0], joint_make.modality_scores()[:0]
    )
    for name in ("voxel_errors", "grade_uncertainty"):
        table_ = getattr(joint_make, name)()
        write_csv(study / f"{name}.csv", table_[:0])
    compare()
    empty = {"rows": [], "missing_modalities": {}, "uncertainty": {}}
    assert read_json(Path("metrics/ablation_joint.json")) == empty
    assert read_scores(Path("scores.csv")) == {
        "rows": [],
        "missing_modalities": {"rows": [], "average": {}, "difference": None},
        "uncertainty": [],
    }
    assert list(Path("figures").iterdir()) == []
