"""Stage phantom_slices: phantom slices to train on beside the images, preprocessed like them; none where no recipe of
params.yaml has a share of them.

Reads data/recipes/phantoms.json and the MNI152 maps that nilearn brings along.
Writes data/phantom_slices/ (images.npy, lesions.npy, index.csv).
Takes about 45 s in the demo on 2 cores. Run: dvc repro phantom_slices.
"""

from pathlib import Path

from btlib.core.runtime.artifacts import read_json
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.images.data.phantom_slices import write_phantom_slices
from btlib.phantom.atlas import load_atlas


def main(recipe_file: Path, out: Path) -> None:
    p = load_params("seed", "image_size", "images.clahe", "images.white_percentile")
    subjects = read_json(recipe_file)["subjects"]
    table = write_phantom_slices(out, subjects, p.seed, p.image_size, p.images, load_atlas())
    print(f"{len(table)} slices of {table['subject'].nunique()} phantom subjects")


if __name__ == "__main__":
    run(main)
