"""Stage perturb: corrupts the test images in nine ways at five severities, and predicts them with several models.

Reads models/stage2/, the arms' networks of the first seed in data/ablations/regularisation/ and
data/ablations/baselines/, data/weights/, data/processed/ and data/splits.csv.
Writes data/robustness/: predictions.csv (model, corruption and severity, then a predictions table; severity 0 is the
clean image) and corruptions.png.
Takes about 15 s in the demo on 2 cores. Run: dvc repro perturb.
"""

from functools import partial
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.core.runtime.stage import run
from btlib.core.runtime.workers import Shared, side_by_side
from btlib.core.settings.params import data_note, load_params
from btlib.images.data.corruptions import CORRUPTIONS, SEVERITIES
from btlib.images.explain.corrupted import answers_to, open_asked
from btlib.report.figures.corruptions import corruption_sheet
from btlib.report.figures.files import FigureFolder


def main(
    model: Path, regularisation: Path, baselines: Path, weights: Path, processed: Path, splits: Path, out: Path
) -> None:
    p = load_params("seed", "images.source", "robustness")
    places = (model, (regularisation, baselines), weights, processed, splits)
    asked = Shared(open_asked, *places, p.robustness.images_per_class, p.seed)
    first, row = asked.value.images[0], asked.value.rows[0]
    kinds = [("clean", (0,)), *((name, SEVERITIES) for name in CORRUPTIONS)]
    # One after the other with all cores, unless there is a cluster.
    found = side_by_side(partial(answers_to, asked=asked, seed=p.seed), kinds, cores=torch.get_num_threads())
    tables = list(tqdm(found, desc="corruptions", total=len(kinds)))
    with atomic_path(out) as folder:
        write_csv(folder / "predictions.csv", pd.concat(tables, ignore_index=True))
        drawn = FigureFolder(folder, data_note(p.images.source))
        drawn.write("corruptions.png", corruption_sheet(first, p.seed, row))


if __name__ == "__main__":
    run(main)
