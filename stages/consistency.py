"""Stage consistency: do the proposed model's heat maps agree between seeds (paper, section 5.9)?

Reads data/ablations/fusion/networks/proposed/<seed>/, data/weights/, data/processed/ and data/splits.csv.
Writes metrics/gradcam_consistency.json, data/tables/gradcam_consistency.csv and data/gradcam_consistency.csv (one row
per test image and map).
Takes about 1 s in the demo on 2 cores. Run: dvc repro consistency.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from btlib.core.metrics.headlines import MAP_LEVELS, map_headline
from btlib.core.metrics.score_table import write_scores
from btlib.core.runtime.arm_names import PROPOSED
from btlib.core.runtime.artifacts import read_csv, write_csv, write_json
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.images.data.preprocessing import load_processed, shrink
from btlib.images.data.splits import rows_of
from btlib.images.evaluation.agreement import agreement_scores
from btlib.images.explain.consistency import agreement_table
from btlib.images.explain.gradcam import gradcam
from btlib.images.nets.store import kept_networks


def main(
    ablation: Path, weights: Path, processed: Path, splits: Path, metrics: Path, scores_out: Path, table: Path
) -> None:
    p = load_params("seed", "evaluation.bootstrap")
    images, index = load_processed(processed)
    rows = rows_of(read_csv(splits, text=("image_id", "split")), index, "test")
    chosen = index.iloc[rows]
    by_seed: list[dict[str, np.ndarray]] = []
    for net, card in kept_networks(ablation / "networks" / PROPOSED, weights):
        # The true class for every seed, so that all maps of an image answer the same question.
        targets = np.array([net.classes.index(label) for label in chosen["label"]])
        by_seed.append(gradcam(net, shrink(images[rows], card["recipe"]["image_size"]), targets))
    agreement = pd.DataFrame(columns=["image_id", "label", "map", "agreement", "shuffled"])
    if len(by_seed) > 1:
        maps = {name: np.stack([found[name] for found in by_seed]) for name in by_seed[0]}
        rng = keyed_rng(p.seed, "consistency")
        agreement = agreement_table(chosen["image_id"], chosen["label"], maps, rng)
    write_csv(table, agreement)
    scores = agreement_scores(agreement, p.evaluation.bootstrap, keyed_rng(p.seed, "consistency bootstrap"))
    every = {"seeds": len(by_seed), "maps": scores}
    write_json(metrics, map_headline(every))
    write_scores(scores_out, every, MAP_LEVELS)


if __name__ == "__main__":
    run(main)
