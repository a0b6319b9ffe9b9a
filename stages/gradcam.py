"""Stage gradcam: where the classifier looks, per backbone and fused, and how much of that is the lesion.

The map of a lesion head is one more kind of map, and its outlines are compared with the true ones.

Reads models/stage2/, data/processed/, data/manifest.csv, data/predictions/test.csv and the lesion masks, from
images.root or data/linked_masks.npz.
Writes metrics/gradcam.json, data/tables/gradcam.csv, data/gradcam.csv (one row per image and map) and
data/figures/gradcam/ (the paper's Figure 13).
Takes about 5 s in the demo on 2 cores. Run: dvc repro gradcam.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from btlib.core.explain.faithfulness import faithfulness_table
from btlib.core.metrics.headlines import MAP_LEVELS, OUTLINE, map_headline
from btlib.core.metrics.localization import localization_scores
from btlib.core.metrics.outlines import LESION_MAP, OUTLINED, outline_scores, outline_table
from btlib.core.metrics.predictions import groups_of, read_predictions
from btlib.core.metrics.score_table import write_scores
from btlib.core.runtime.artifacts import read_csv, write_csv, write_json
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.images.data.masks import Masks
from btlib.images.data.preprocessing import load_processed
from btlib.images.data.tumor_or_none import NONE as NO_TUMOR
from btlib.images.evaluation.selection import shown_rows
from btlib.images.explain.gradcam import gradcam
from btlib.images.explain.lesion_map import lesion_map
from btlib.images.explain.lesions import lesion_masks
from btlib.images.nets.store import load_classifier
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.numbers import spoken
from btlib.report.figures.overlays import overlay_figure
from btlib.report.figures.wording import caption


def main(
    root: Path,
    masks: Path,
    model: Path,
    processed: Path,
    manifest: Path,
    predictions: Path,
    metrics: Path,
    scores_out: Path,
    table: Path,
    figures: Path,
) -> None:
    p = load_params("seed", "images.source", "gradcam", "evaluation.bootstrap")
    net = load_classifier(model)
    images, index = load_processed(processed)
    test = read_predictions(predictions, net.classes)
    row_of = pd.Series(range(len(index)), index=index["image_id"])
    rows = row_of[list(test.image_ids)].to_numpy()
    files = read_csv(manifest, text=("image_id", "mask_path"))
    lesions = lesion_masks(files, Masks(root, masks), test.image_ids, images.shape[1:3])

    masked = np.flatnonzero(lesions.any(axis=(1, 2)))
    labels = np.array(test.classes)[test.labels]
    maps = gradcam(net, images[rows[masked]], test.predicted[masked])
    seen = lesion_map(net, images[rows])
    if seen is not None:
        maps[LESION_MAP] = seen[masked]
    heat = faithfulness_table(test.image_ids[masked], labels[masked], maps, lesions[masked])
    heat["group"] = groups_of(manifest, heat["image_id"])
    rng = keyed_rng(p.seed, "gradcam bootstrap")
    scores = localization_scores(heat, list(maps), p.evaluation.bootstrap, rng)
    every = {"n_test": len(test.labels), "n_with_mask": len(masked), "maps": scores}
    tables = [heat]
    if seen is not None:
        outlines = outline_table(test.image_ids, labels, seen >= OUTLINED, lesions, labels == NO_TUMOR)
        outlines["group"] = groups_of(manifest, outlines["image_id"])
        rng = keyed_rng(p.seed, "outline bootstrap")
        every[OUTLINE] = outline_scores(outlines, p.evaluation.bootstrap, rng)
        tables.append(outlines.assign(map=OUTLINE))
    write_csv(table, pd.concat(tables).drop(columns="group"))
    write_json(metrics, map_headline(every))
    write_scores(scores_out, every, MAP_LEVELS)

    drawn = FigureFolder(figures, data_note(p.images.source))
    for name, shown in shown_rows(test, p.gradcam.images_per_class, p.seed, "gradcam figure").items():
        pictures = images[rows[shown]]
        maps = gradcam(net, pictures, test.predicted[shown])
        captions = [caption(test, number) for number in shown]
        title = f"Grad-CAM of the predicted class; true class: {spoken(name)}"
        found = None if seen is None else seen[shown]
        drawn.write(f"{name}.png", overlay_figure(title, pictures, captions, maps, lesions[shown], found))


if __name__ == "__main__":
    run(main)
