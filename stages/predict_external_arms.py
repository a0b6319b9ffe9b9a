"""Stage predict_external_arms: predicts the images of another hospital with each part of the lesion head left out.

Reads the set's folder, laid out as params.yaml says under external, the kept networks in data/ablations/lesion/, and
data/weights/. The folder must not share images with images.root.
Writes data/external_arms/<set>/: predictions.csv (one row per arm, seed and image; uncalibrated). It has no rows if the
set is left out, as in stage predict_external, or no network was kept.
Takes about 13 s in the demo on 2 cores. Run: dvc repro predict_external_arms.
"""

from pathlib import Path

from btlib.app.predict.external_arms import arm_predictions, kept_arms, no_predictions
from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.images.data.external import external_images, is_left_out, refuse_unlisted
from btlib.images.data.processing import preprocessed


def main(root: Path, ablation: Path, weights: Path, images: Path, out: Path) -> None:
    """The folder `out` has the name under which params.yaml lists the set."""
    p = load_params("image_size", "images.source", "images.clahe", "images.white_percentile", "external")
    named = {one.name: one for one in p.external}
    refuse_unlisted(out.name, named)
    chosen, table = named[out.name], no_predictions()
    if kept_arms(ablation) and not is_left_out(root, p.images.source):
        entries = external_images(chosen.name, root, chosen.layout, chosen.annotations, images)
        squares = preprocessed(root, [entry.path for entry in entries], p.image_size, p.images)
        table = arm_predictions(chosen.name, entries, squares, ablation, weights)
    with atomic_path(out) as folder:
        folder.mkdir(parents=True)
        write_csv(folder / "predictions.csv", table)
    print(f"external '{chosen.name}': {len(table)} predictions of {table['arm'].nunique()} arms")


if __name__ == "__main__":
    run(main)
