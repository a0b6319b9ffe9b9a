"""Stage train_stage1: trains the fusion and the linear layer on frozen backbones, with the Mixup focal loss.

Reads data/processed/, data/splits.csv, data/phantom_slices/ and data/weights/.
Writes models/stage1/ and data/curves/stage1/.
Takes about 12 s in the demo on 2 cores. Run: dvc repro train_stage1.
"""

from pathlib import Path

from btlib.core.runtime.nested import flatten
from btlib.core.runtime.stage import run
from btlib.core.runtime.workers import make_fabric
from btlib.core.settings.params import load_params
from btlib.images.nets.classifier import build_classifier
from btlib.images.nets.store import read_states
from btlib.images.training.main import TrainingData, train_main
from btlib.images.training.recipe import architecture, arm_settings, batch_spec


def main(processed: Path, splits: Path, phantoms: Path, weights: Path, out: Path, curves: Path) -> None:
    p = load_params(
        "seed",
        "batch_size",
        "lr_stage1",
        "mixup_alpha",
        "focal_gamma",
        "focal_alpha",
        "label_smoothing",
        "ema_decay",
        "epochs_stage1",
        "backbones",
        "fusion",
        "model",
        "lesion",
        "images.phantom.share",
        "training.optimizer",
        "training.weight_decay",
        "training.schedule",
        "training.loss",
        "training.clip_norm",
        "training.keep_epoch",
        "training.patience",
        "training.augment",
        "training.devices",
        "training.precision",
    )
    fabric = make_fabric(p.training.devices, p.training.precision)
    data = TrainingData(processed, splits, phantoms, fabric)
    states = read_states(weights, p.backbones)
    files = [weights / f"{name}.safetensors" for name in states]
    recipe = flatten(p)
    net = build_classifier(architecture(recipe, data.classes), states, p.seed)
    batches = batch_spec(recipe, stage=1)
    arm = arm_settings(recipe, stage=1, name="main")
    train_main("stage1", net, arm, batches, data, fabric, files, out, curves)


if __name__ == "__main__":
    run(main)
