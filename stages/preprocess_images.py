"""Stage preprocess_images: CLAHE on the brightness, then resizing (paper, section 4.1 and equation 1).

Reads data/manifest.csv, the folder images.root and data/linked_masks.npz.
Writes data/processed/ (images.npy, lesions.npy, index.csv) and data/figures/preprocess/ (the paper's Figures 2, 3 and
7).
Takes about 4 s in the demo on 2 cores. Run: dvc repro preprocess_images.
"""

from pathlib import Path

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.images.data.manifest import read_manifest
from btlib.images.data.masks import Masks
from btlib.images.data.preprocessing import load_processed
from btlib.images.data.processing import write_processed
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.preprocessing import data_figures


def main(root: Path, masks: Path, manifest: Path, out: Path, figures: Path) -> None:
    p = load_params("seed", "image_size", "images.source", "images.clahe", "images.white_percentile")
    images = read_manifest(manifest)
    write_processed(out, root, Masks(root, masks), images, p.image_size, p.images)
    with atomic_path(figures) as folder:
        drawn = FigureFolder(folder, data_note(p.images.source))
        for name, figure in data_figures(root, images, p.image_size, p.images, p.seed).items():
            drawn.write(f"{name}.png", figure)
    processed, _ = load_processed(out)
    print(f"{processed.shape} uint8")


if __name__ == "__main__":
    run(main)
