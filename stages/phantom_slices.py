"""Stage phantom_slices: phantom slices to train on beside the images, preprocessed like them, and images with phantom
lesions pasted in; none where no recipe of params.yaml has a share of them.

Reads data/recipes/phantoms.json, data/processed/ and the MNI152 maps that nilearn brings along.
Writes data/phantom_slices/ (images.npy, lesions.npy, index.csv).
Takes about 60 s in the demo on 2 cores. Run: dvc repro phantom_slices.
"""

from itertools import chain
from pathlib import Path

from btlib.core.runtime.artifacts import read_json
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.images.data.pasted_lesions import pasted_lesions
from btlib.images.data.phantom_slices import phantom_slices, write_slices
from btlib.images.data.preprocessing import NO_BACKGROUND
from btlib.phantom.atlas import load_atlas


def main(recipe_file: Path, processed: Path, out: Path) -> None:
    p = load_params("seed", "image_size", "images.clahe", "images.white_percentile")
    wanted, atlas = read_json(recipe_file), load_atlas()
    whole = phantom_slices(wanted["subjects"], p.seed, p.image_size, p.images, atlas)
    pasted = pasted_lesions(processed, wanted["pasted"], p.seed, atlas)
    table = write_slices(out, chain(whole, pasted), p.image_size)
    inside = table["background"] != NO_BACKGROUND
    print(
        f"{(~inside).sum()} slices of {wanted['subjects']} phantom subjects, {inside.sum()} images with pasted lesions"
    )


if __name__ == "__main__":
    run(main)
