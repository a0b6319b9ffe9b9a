"""Stage evaluate_joint: predicts with the joint network, and makes every score and figure from these predictions.

Reads models/joint/, data/volumes/normalized/, data/volumes/splits.csv, and the cases' segmentations on their own grid,
which data/volumes/manifest.csv names. With joint.postprocess, the post-processing of masks is chosen on the validation
cases, or stated there.
Writes data/joint/predictions/ (val.csv, test.csv, segmentation.csv, voxel_errors.csv, grade_uncertainty.csv,
postprocessing.json, validation_dice.csv),
data/joint/masks/ (NIfTI on the input grid, labels as in conventions.py), metrics/joint3d.json, data/tables/joint3d.csv
and data/figures/joint/evaluate/.
Takes about 40 s in the demo on 2 cores. Run: dvc repro evaluate_joint.
"""

from functools import partial
from pathlib import Path

from btlib.core.metrics.score_table import write_scores
from btlib.core.runtime.artifacts import atomic_path, read_json, write_csv, write_json
from btlib.core.runtime.network_files import CARD
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.report.figures.curves import curves_figure
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.volume_scores import write_joint_figures
from btlib.volumes.data.cases import Cases
from btlib.volumes.data.manifest import read_manifest
from btlib.volumes.data.splits import cases_of
from btlib.volumes.data.store import load_index
from btlib.volumes.evaluation.gain import postprocessing_scores
from btlib.volumes.evaluation.headlines import SCORE_LEVELS, score_headline
from btlib.volumes.evaluation.masks import RULES_FILE
from btlib.volumes.evaluation.postprocessing import choose_postprocessing
from btlib.volumes.evaluation.scores import joint_metrics
from btlib.volumes.evaluation.segmentation import segmentation_table
from btlib.volumes.evaluation.tables import read_joint_tables
from btlib.volumes.explain.answers import on_input_grid, outlined, predict_cases, prediction_rows
from btlib.volumes.explain.doubts import network_doubts
from btlib.volumes.nets.store import load_joint


def main(
    model: Path,
    normalized: Path,
    splits: Path,
    root: Path,
    manifest: Path,
    predictions: Path,
    masks: Path,
    metrics: Path,
    scores_out: Path,
    figures: Path,
) -> None:
    p = load_params("seed", "volumes.source", "volumes.resample", "joint.mc_samples", "joint.postprocess", "evaluation")
    net, window = load_joint(model)
    index = load_index(normalized)
    cases = {part: Cases({normalized: cases_of(splits, index, part)}) for part in ("val", "test")}
    found = {part: predict_cases(net, window, of_part, part) for part, of_part in cases.items()}
    on_grid = partial(on_input_grid, manifest=read_manifest(manifest), root=root, resample=p.volumes.resample)
    wanted = p.joint.postprocess
    rules, validation = choose_postprocessing(
        on_grid(cases["val"], found["val"]) if wanted else [], None if isinstance(wanted, bool) else wanted
    )
    doubts = network_doubts((net, window), cases["test"], found["test"], rules, p.joint.mc_samples, p.seed)
    with atomic_path(predictions) as folder, atomic_path(masks) as masks_out:
        for part in cases:
            write_csv(folder / f"{part}.csv", prediction_rows(index, cases[part], found[part]))
        rows = outlined(on_grid(cases["test"], found["test"]), rules, masks_out)
        write_csv(folder / "segmentation.csv", segmentation_table(rows))
        write_csv(folder / "validation_dice.csv", validation)
        write_json(folder / RULES_FILE, rules.model_dump())
        write_csv(folder / "voxel_errors.csv", doubts.voxel_errors)
        write_csv(folder / "grade_uncertainty.csv", doubts.grade_uncertainty)

    tables, bins = read_joint_tables(predictions), p.evaluation.ece_bins
    resamples, rng = p.evaluation.bootstrap, partial(keyed_rng, p.seed, "bootstrap", "joint")
    scores = joint_metrics(tables, bins, resamples, rng())
    scores["postprocessing"] = postprocessing_scores(
        rules, validation, tables.segmentation, tables.cohort, resamples, rng("postprocessing")
    )
    write_json(metrics, score_headline(scores))
    write_scores(scores_out, scores, SCORE_LEVELS)
    with atomic_path(figures) as folder:
        folder.mkdir()
        drawn = FigureFolder(folder, data_note(p.volumes.source))
        write_joint_figures(drawn, tables, scores, bins)
        score = "dice" if net.architecture.segmentation else "accuracy"
        drawn.write("curves.png", curves_figure(read_json(model / CARD), score))


if __name__ == "__main__":
    run(main)
