"""Stage compare_joint: does joint training help, what do missing modalities cost, and what is uncertainty worth?

Reads data/ablations/joint/ (cases.csv, runs.csv, modalities.csv, voxel_errors.csv, grade_uncertainty.csv, with the
columns that volumes/evaluation/tables.py names).
Writes metrics/ablation_joint.json, data/tables/ablation_joint.csv and data/figures/ablations/joint/ (forest.png,
modalities.png, uncertainty.png).
Takes about 2 s in the demo on 2 cores. Run: dvc repro compare_joint.
"""

from pathlib import Path

from btlib.core.metrics.score_table import write_scores
from btlib.core.runtime.artifacts import atomic_path, write_json
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.volume_comparison import write_comparison_figures
from btlib.volumes.evaluation.ablation import joint_ablation_table
from btlib.volumes.evaluation.headlines import COMPARISON_LEVELS, comparison_headline
from btlib.volumes.evaluation.modalities import modality_table
from btlib.volumes.evaluation.tables import read_comparison
from btlib.volumes.evaluation.uncertainty import uncertainty_rows


def main(study: Path, metrics: Path, scores_out: Path, figures: Path) -> None:
    p = load_params("seed", "volumes.source", "evaluation")
    bins, resamples = p.evaluation.ece_bins, p.evaluation.bootstrap
    found = read_comparison(study)
    rngs = [keyed_rng(p.seed, "bootstrap", "joint", part) for part in ("arms", "modalities", "uncertainty")]
    table = joint_ablation_table(found.cohort, found.arms, found.failures, bins, resamples, rngs[0])
    missing = modality_table(found.cohort, found.subsets, bins, resamples, rngs[1])
    doubt = uncertainty_rows(found.voxel_errors, found.grade_uncertainty, found.cohort, resamples, rngs[2])
    scores = {**table, "missing_modalities": missing, "uncertainty": doubt}
    write_json(metrics, comparison_headline(scores))
    write_scores(scores_out, scores, COMPARISON_LEVELS)
    with atomic_path(figures) as folder:
        folder.mkdir()
        drawn = FigureFolder(folder, data_note(p.volumes.source))
        write_comparison_figures(drawn, table, missing, doubt, found.voxel_errors)


if __name__ == "__main__":
    run(main)
