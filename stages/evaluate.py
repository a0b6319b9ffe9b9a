"""Stage evaluate: predicts the validation and test images, and makes every score and figure from these predictions.

Reads models/stage2/, models/stage1/card.json, data/processed/, data/manifest.csv and data/splits.csv.
Writes data/predictions/ (val.csv, test.csv), metrics/classification.json, data/figures/evaluate/ (the paper's Figures
10 to 12, reliability), data/figures/train/ (Figures 4, 5, 8 and 9) and data/plots/evaluate/ (for dvc plots).
Takes about 6 s in the demo on 2 cores. Run: dvc repro evaluate.
"""

from pathlib import Path

import numpy as np
import torch

from btlib.core.metrics.calibration import fit_temperature
from btlib.core.metrics.predictions import groups_of, predictions_table, read_predictions
from btlib.core.runtime.artifacts import read_csv, read_json, write_csv, write_json
from btlib.core.runtime.dealing import SPLITS
from btlib.core.runtime.network_files import CARD
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.images.data.preprocessing import load_processed
from btlib.images.data.resident import ResidentImages
from btlib.images.data.splits import rows_of
from btlib.images.evaluation import curves
from btlib.images.evaluation.classification import classification_metrics
from btlib.images.evaluation.selection import shown_rows
from btlib.images.nets.inference import predict
from btlib.images.nets.store import load_classifier
from btlib.images.training.augment import Strength
from btlib.report.figures.classification import (
    calibration_figure,
    classification_figure,
    pr_figure,
    predictions_figure,
    roc_figure,
)
from btlib.report.figures.curves import curves_figure
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.training import mixup_figure, views_figure

SHOWN_PER_CLASS = 8


def main(
    model: Path,
    stage1_card: Path,
    processed: Path,
    manifest: Path,
    splits: Path,
    predictions: Path,
    metrics: Path,
    figures_out: Path,
    training: Path,
    plots: Path,
) -> None:
    p = load_params("seed", "mixup_alpha", "images.source", "training.augment", "evaluation")
    net = load_classifier(model)
    images, index = load_processed(processed)
    split_table = read_csv(splits, text=("image_id", "split"))
    rows = {part: rows_of(split_table, index, part) for part in SPLITS}
    tables = {}
    for part in ("val", "test"):
        numbers = rows[part]
        chosen, path = index.iloc[numbers], predictions / f"{part}.csv"
        probabilities = predict(net, images[numbers])
        write_csv(path, predictions_table(chosen["image_id"], chosen["label"], probabilities, net.classes))
        tables[part] = read_predictions(path, net.classes)

    val, test = tables["val"], tables["test"]
    temperature = fit_temperature(val.probabilities, val.labels, groups_of(manifest, val.image_ids))
    rng, bins = keyed_rng(p.seed, "bootstrap"), p.evaluation.ece_bins
    groups = groups_of(manifest, test.image_ids)
    scores = classification_metrics(test, groups, temperature, bins, p.evaluation.bootstrap, rng)
    write_json(metrics, scores)

    shown = shown_rows(test, SHOWN_PER_CLASS, p.seed, "predictions figure")
    pictures = images[rows["test"]][[number for numbers in shown.values() for number in numbers]]
    results = FigureFolder(figures_out, data_note(p.images.source))
    results.write("classification.png", classification_figure(test))
    results.write("roc.png", roc_figure(test, scores))
    results.write("precision_recall.png", pr_figure(test, scores))
    results.write("calibration.png", calibration_figure(test, temperature, bins))
    results.write("predictions.png", predictions_figure(test, shown, pictures))

    seen = ResidentImages(images, np.zeros(len(images)), torch.device("cpu"))
    strength = Strength(**p.training.augment.model_dump())
    course = FigureFolder(training, data_note(p.images.source))
    course.write("fig4_augmented_views.png", views_figure(seen, rows["train"][:4], strength, p.seed))
    course.write("fig5_mixup.png", mixup_figure(seen, rows["train"][:6], p.mixup_alpha, p.seed))
    course.write("fig8_stage1.png", curves_figure(read_json(stage1_card), "accuracy"))
    course.write("fig9_stage2.png", curves_figure(read_json(model / CARD), "accuracy"))

    write_csv(plots / "confusion.csv", curves.confusion_rows(test))
    for name, points in curves.roc_curves(test).items():
        write_csv(plots / "roc" / f"{name}.csv", points)
    for name, points in curves.pr_curves(test).items():
        write_csv(plots / "precision_recall" / f"{name}.csv", points)


if __name__ == "__main__":
    run(main)
