"""Trains the main model for one stage: a list of one arm, with its curves, card and resumable state."""

from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from btlib.core.runtime.artifacts import read_csv
from btlib.core.training.arms import Arm
from btlib.core.training.loop import OnEpoch
from btlib.core.training.resume import ResumeState, run_hash
from btlib.core.training.single import train_single
from btlib.images.data.classes import CLASSES
from btlib.images.data.preprocessing import load_processed, shrink
from btlib.images.data.resident import ResidentImages
from btlib.images.data.splits import rows_of
from btlib.images.nets.classifier import Classifier
from btlib.images.nets.store import save_classifier
from btlib.images.training.learner import ClassifierSettings, Stream, train_arms


class TrainingData:
    """Resident images with the row numbers of the training and validation splits.

    Args:
        processed: folder of images.npy and index.csv.
        splits: splits.csv.
    """

    def __init__(self, processed: Path, splits: Path, fabric: Fabric):
        images, index = load_processed(processed)
        table = read_csv(splits, text=("image_id", "split"))
        self.pixels = images
        # Figshare's set has no images without a tumour: the network has an output for each class that is there.
        self.classes = tuple(name for name in CLASSES if name in set(index["label"]))
        self.labels = np.array([self.classes.index(label) for label in index["label"]])
        self.train = rows_of(table, index, "train")
        self.val = rows_of(table, index, "val")
        self.test = rows_of(table, index, "test")
        self.index = index
        self.device = fabric.device
        self._pixels = {images.shape[1]: images}
        self._resident: dict[int, ResidentImages] = {}

    @property
    def resident(self) -> ResidentImages:
        """The images in the size that they are stored in."""
        return self.resident_at(self.pixels.shape[1])

    def resident_at(self, size: int) -> ResidentImages:
        """The images at `size` pixels, made once."""
        if size not in self._resident:
            self._resident[size] = ResidentImages(self.pixels_at(size, slice(None)), self.labels, self.device)
        return self._resident[size]

    def pixels_at(self, size: int, rows: np.ndarray | slice) -> np.ndarray:
        """uint8 [N, size, size, 3] of these row numbers: as stored, or smaller; all are shrunk once."""
        if size not in self._pixels:
            self._pixels[size] = shrink(self.pixels, size)
        return self._pixels[size][rows]


def train_main(
    stage: str,
    net: Classifier,
    settings: ClassifierSettings,
    stream: Stream,
    data: TrainingData,
    fabric: Fabric,
    start: list[Path],
    out: Path,
    curves: Path,
    note: str,
) -> None:
    """Trains `net`, or passes it on as it is when the stage has no epochs, and writes model, card and curves.

    Args:
        start: the files that hold the weights that `net` starts from; a resumed run must have the same.
        out: folder for model.safetensors and card.json.
        curves: folder for DVCLive's files and curves.png (Figures 8 and 9).
        note: what the figure says besides its title, for example that these are phantoms; '' for nothing.
    """
    resume = ResumeState(stage, run_hash((settings, stream), (data.pixels, data.labels, data.train, data.val), start))

    def train(resume: ResumeState, on_epoch: OnEpoch) -> list[Arm]:
        return train_arms([(settings, net)], data.resident, data.train, data.val, stream, fabric, resume, on_epoch)

    def save(folder: Path, card: dict[str, Any]) -> None:
        save_classifier(folder, net, card)

    rates = "lr_stage1 or lr_stage2"
    train_single(stage, settings, resume, train if stream.epochs else None, save, rates, fabric, out, curves, note)
