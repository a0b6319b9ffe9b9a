"""Stage probe_shortcuts: predicts images whose lesion is hidden, pasted in or shown in another contrast.

Reads models/stage2/, data/weights/, data/processed/ and data/splits.csv.
Writes data/shortcuts/: views.csv (model and view, then a predictions table), pasted.csv, contrasts.csv, matched.csv and
examples.png.
Takes about 15 s in the demo on 2 cores. Run: dvc repro probe_shortcuts.
"""

from pathlib import Path

from btlib.core.runtime.artifacts import atomic_path, read_csv, write_csv
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.images.data.preprocessing import load_processed
from btlib.images.explain.probes import (
    NO_TUMOR,
    contrast_swap,
    draw_sample,
    gray_level_matching,
    lesion_insertion,
    occlusion,
)
from btlib.images.nets.store import load_classifier, read_states
from btlib.phantom.atlas import load_atlas
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.shortcuts import examples_figure


def main(model: Path, weights: Path, processed: Path, splits: Path, out: Path) -> None:
    p = load_params("seed", "images.source", "images.clahe", "images.white_percentile", "shortcuts")
    net, atlas, rng = load_classifier(model), load_atlas(), keyed_rng(p.seed, "shortcuts")
    images, index = load_processed(processed)
    table = read_csv(splits, text=("image_id", "split"))
    train = draw_sample(images, index, table, "train", p.shortcuts.train_per_class, rng)
    test = draw_sample(images, index, table, "test", p.shortcuts.test_per_class, rng)
    healthy, size = test.where(test.labels == NO_TUMOR), images.shape[1]
    occluded, shown = occlusion(net, read_states(weights, net.backbone_names), train, test)
    pasted, with_lesion = lesion_insertion(net, healthy, p.seed, p.shortcuts.lesions, atlas)
    contrasts = contrast_swap(net, p.seed, p.shortcuts.contrast_subjects, size, p.images, atlas)
    alike = gray_level_matching(train, test)
    with atomic_path(out) as folder:
        write_csv(folder / "views.csv", occluded)
        write_csv(folder / "pasted.csv", pasted)
        write_csv(folder / "contrasts.csv", contrasts)
        write_csv(folder / "matched.csv", alike)
        FigureFolder(folder, data_note(p.images.source)).write("examples.png", examples_figure(shown | with_lesion))


if __name__ == "__main__":
    run(main)
