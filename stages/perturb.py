"""Stage perturb: corrupts the test images in nine ways at five severities, and predicts them with several models.

Reads models/stage2/, the arms' networks of the first seed in data/ablations/regularisation/ and
data/ablations/baselines/, data/weights/, data/processed/ and data/splits.csv.
Writes data/robustness/: predictions.csv (model, corruption and severity, then a predictions table; severity 0 is the
clean image) and corruptions.png.
Takes about 15 s in the demo on 2 cores. Run: dvc repro perturb.
"""

from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from btlib.core.metrics.predictions import predictions_table
from btlib.core.runtime.arm_names import PROPOSED
from btlib.core.runtime.artifacts import atomic_path, read_csv, write_csv
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.images.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from btlib.images.data.preprocessing import load_processed, shrink
from btlib.images.data.splits import rows_of, sampled
from btlib.images.nets.classifier import Classifier
from btlib.images.nets.inference import predict
from btlib.images.nets.store import kept_networks, load_classifier
from btlib.report.figures.corruptions import corruption_sheet
from btlib.report.figures.files import FigureFolder

ARMS = {
    "regularisation": (PROPOSED, "mixup_only", "ema_only", "neither"),
    "baselines": ("plain_finetune",),
}


def main(
    model: Path, regularisation: Path, baselines: Path, weights: Path, processed: Path, splits: Path, out: Path
) -> None:
    p = load_params("seed", "images.source", "robustness")
    images, index = load_processed(processed)
    test = rows_of(read_csv(splits, text=("image_id", "split")), index, "test")
    rng, most = keyed_rng(p.seed, "robustness"), p.robustness.images_per_class
    rows = sampled(test, index["label"].to_numpy(), most, rng)
    chosen = index.iloc[rows]
    models: dict[str, tuple[Classifier, int]] = {"main": (load_classifier(model), images.shape[1])}
    for folder in (regularisation, baselines):
        for arm in ARMS[folder.name]:
            for net, card in islice(kept_networks(folder / "networks" / arm, weights), 1):
                models[arm] = (net, card["recipe"]["image_size"])
    tables = []
    for name, severities in tqdm([("clean", (0,)), *((name, SEVERITIES) for name in CORRUPTIONS)], desc="corruptions"):
        # All severities at once: many small batches would take half as long again.
        parts = [corrupt(images[rows], name, step, p.seed, rows) if step else images[rows] for step in severities]
        asked = pd.concat([chosen[["image_id", "label"]].assign(severity=step) for step in severities])
        changed = np.concatenate(parts)
        for label, (net, size) in models.items():
            seen = changed if size == changed.shape[1] else shrink(changed, size)
            part = predictions_table(asked["image_id"], asked["label"], predict(net, seen), net.classes)
            key = {"model": label, "corruption": name, "severity": asked["severity"].to_numpy()}
            tables.append(pd.DataFrame(key, index=part.index).join(part))
    with atomic_path(out) as folder:
        write_csv(folder / "predictions.csv", pd.concat(tables, ignore_index=True))
        drawn = FigureFolder(folder, data_note(p.images.source))
        drawn.write("corruptions.png", corruption_sheet(images[rows[0]], p.seed, rows[0]))


if __name__ == "__main__":
    run(main)
