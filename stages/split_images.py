"""Stage split_images: assigns images to training, validation and test, by patient, by image or from a table.

Reads data/manifest.csv and, for split_by: file, the table below images.root.
Writes data/splits.csv and metrics/split.json (the paper's Table 2).
Takes less than 1 s in the demo on 2 cores. Run: dvc repro split_images.
"""

from pathlib import Path

from btlib.core.runtime.artifacts import write_csv, write_json
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.images.data.manifest import read_manifest
from btlib.images.data.own_splits import own_split
from btlib.images.data.splits import class_counts, split


def main(root: Path, manifest: Path, out: Path, metrics: Path) -> None:
    p = load_params("seed", "split_by", "split")
    images = read_manifest(manifest)
    images["split"] = split(images, p.split_by, p.seed, p.split, own_split(root, p.split.file, images))
    counts = class_counts(images["label"], images["split"].to_numpy())
    write_csv(out, images[["image_id", "split"]])
    write_json(metrics, counts)
    print("\n".join(f"{name:5} {sum(classes.values()):6} {classes}" for name, classes in counts.items()))


if __name__ == "__main__":
    run(main)
