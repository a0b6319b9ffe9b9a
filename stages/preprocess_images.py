"""Stage preprocess_images: CLAHE on the brightness, resize, one uint8 array (paper 4.1, eq 1, Figures 2, 3, 7).

Reads data/manifest.csv and the images' root. Writes data/processed/{images.npy, index.csv} and pictures into
data/figures/preprocess/.
Run: dvc repro preprocess_images.
"""

from pathlib import Path

from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.images.data.manifest import read_manifest
from btlib.images.data.preprocessing import load_processed
from btlib.images.data.processing import write_processed
from btlib.report.figures.preprocessing import write_pictures


def main(root: Path, manifest: Path, out: Path, figures: Path) -> None:
    """Reads the images below `root`; writes the array, its index and the pictures."""
    p = load_params("seed", "image_size", "images.source", "images.clahe")
    images = read_manifest(manifest)
    write_processed(out, root, images, p.image_size, p.images.clahe)
    note = data_note(p.images.source)
    write_pictures(figures, root, images, p.image_size, p.images.clahe, p.seed, note)
    processed, _ = load_processed(out)
    print(f"{processed.shape} uint8")


if __name__ == "__main__":
    run(main)
