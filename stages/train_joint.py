"""Stage train_joint: trains the joint network to segment the glioma and to grade it.

Reads data/volumes/normalized/, data/volumes/splits.csv and data/volumes/phantom_cases/.
Writes models/joint/ and data/curves/joint/.
Takes about 3 min in the demo on 2 cores. Run: dvc repro train_joint.
"""

from pathlib import Path

from btlib.core.runtime.nested import flatten
from btlib.core.runtime.stage import run
from btlib.core.runtime.workers import make_fabric
from btlib.core.settings.params import load_params
from btlib.volumes.training.main import VolumeData, train_joint


def main(normalized: Path, splits: Path, phantoms: Path, out: Path, curves: Path) -> None:
    p = load_params(
        "seed",
        "volumes.spacing",
        "volumes.clip_percentiles",
        "volumes.phantom.share",
        "training.devices",
        "joint.start",
        "joint.size",
        "joint.width",
        "joint.attention",
        "joint.segmentation",
        "joint.grading",
        "joint.dropout",
        "joint.flip_tta",
        "joint.batch_size",
        "joint.accumulate",
        "joint.epochs",
        "joint.coarse_epochs",
        "joint.optimizer",
        "joint.learning_rate",
        "joint.weight_decay",
        "joint.schedule",
        "joint.clip_norm",
        "joint.ema_decay",
        "joint.patience",
        "joint.grade_weight",
        "joint.label_smoothing",
        "joint.precision",
        "joint.augment",
    )
    fabric = make_fabric(p.training.devices, p.joint.precision)
    data = VolumeData(normalized, splits, phantoms, fabric)
    normalization = {"spacing": p.volumes.spacing, "clip_percentiles": p.volumes.clip_percentiles}
    start = Path(p.joint.start) if p.joint.start else None
    recipe = flatten(p.joint) | {"seed": p.seed, "phantom_share": p.volumes.phantom.share}
    train_joint(recipe, data, normalization, fabric, out, curves, start)


if __name__ == "__main__":
    run(main)
