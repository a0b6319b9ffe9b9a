"""Trains the main model for one stage: a list of one arm, with its curves, card and resumable state."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric

from btlib.artifacts import atomic_path, read_csv
from btlib.data.classes import CLASSES
from btlib.data.images import load_processed, shrink
from btlib.data.resident import ResidentImages
from btlib.data.splits import rows_of
from btlib.nets.classifier import Classifier
from btlib.nets.store import save_classifier
from btlib.reproducibility import environment
from btlib.training.arms import ArmSettings
from btlib.training.curves import draw_curves, live_curves
from btlib.training.loop import Stream, refuse_failed, train_arms
from btlib.training.resume import ResumeState, run_hash


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
        """uint8 [N, size, size, 3] of these row numbers: as stored, or smaller."""
        pixels = self.pixels[rows]
        return pixels if size == pixels.shape[1] else shrink(pixels, size)


def train_main(
    stage: str,
    net: Classifier,
    settings: ArmSettings,
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
    history = []
    if stream.epochs:
        live, on_epoch = live_curves(curves, fabric.is_global_zero)
        arms = [(settings, net)]
        (arm,) = train_arms(arms, data.resident, data.train, data.val, stream, fabric, resume, on_epoch)
        live.end()
        refuse_failed(arm)
        history = arm.readouts[0].progress.history
    if not fabric.is_global_zero:
        return
    draw_curves(curves / "curves.png", history, f"{stage}: training and validation" + (f" ({note})" if note else ""))
    card = {"stage": stage, "settings": asdict(settings), "history": history, "environment": environment()}
    with atomic_path(out) as folder:
        save_classifier(folder, net, card)
    resume.delete()
