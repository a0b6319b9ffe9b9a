"""Stage train_stage2: trains on with the last blocks of each backbone unfrozen, at a smaller learning rate.

Reads data/processed/, data/splits.csv, data/phantom_slices/ and models/stage1/.
Writes models/stage2/ and data/curves/stage2/.
Takes about 6 min in the demo on 2 cores. Run: dvc repro train_stage2.
"""

from pathlib import Path

from btlib.core.runtime.nested import flatten
from btlib.core.runtime.network_files import CARD, TENSORS
from btlib.core.runtime.stage import run
from btlib.core.runtime.workers import make_fabric
from btlib.core.settings.params import load_params
from btlib.images.nets.store import load_classifier
from btlib.images.training.main import TrainingData, train_main
from btlib.images.training.recipe import arm_settings, batch_spec


def main(processed: Path, splits: Path, phantoms: Path, start: Path, out: Path, curves: Path) -> None:
    p = load_params(
        "seed",
        "batch_size",
        "lr_stage2",
        "mixup_alpha",
        "focal_gamma",
        "focal_alpha",
        "label_smoothing",
        "ema_decay",
        "epochs_stage2",
        "lesion",
        "images.phantom.share",
        "training",
    )
    fabric = make_fabric(p.training.devices, p.training.precision)
    data = TrainingData(processed, splits, phantoms, fabric)
    net = load_classifier(start)
    recipe = flatten(p)
    arm, batches = arm_settings(recipe, stage=2, name="main"), batch_spec(recipe, stage=2)
    files = [start / TENSORS, start / CARD]
    train_main("stage2", net, arm, batches, data, fabric, files, out, curves)


if __name__ == "__main__":
    run(main)
