"""Trains the main model for one stage: a single arm, with curves, card and resumable state."""

from pathlib import Path

import numpy as np
from lightning_fabric import Fabric

from btlib.core.runtime.artifacts import atomic_path, read_csv
from btlib.core.training.card import training_card
from btlib.core.training.curves import live_curves
from btlib.core.training.resume import ResumeState, run_hash
from btlib.images.data.classes import CLASSES
from btlib.images.data.lesion_maps import shrink_maps
from btlib.images.data.preprocessing import NO_BACKGROUND, load_lesions, load_processed, shrink
from btlib.images.data.resident import Phantoms, ResidentImages
from btlib.images.data.splits import rows_of
from btlib.images.nets.classifier import Classifier
from btlib.images.nets.store import save_classifier
from btlib.images.training.learner import BatchSpec, ClassifierSettings, train_arms


class TrainingData:
    """Resident images with the row numbers of the training and validation splits.

    Args:
        processed: folder of images.npy, lesions.npy and index.csv.
        splits: splits.csv.
        phantoms: folder of stage phantom_slices, in the same form.
    """

    def __init__(self, processed: Path, splits: Path, phantoms: Path, fabric: Fabric):
        images, index = load_processed(processed)
        table = read_csv(splits, text=("image_id", "split"))
        self.pixels = images
        # The network has an output per class present: Figshare's data set has no images without a tumour.
        self.classes = tuple(name for name in CLASSES if name in set(index["label"]))
        self.labels = np.array([self.classes.index(label) for label in index["label"]])
        self.train = rows_of(table, index, "train")
        self.val = rows_of(table, index, "val")
        self.test = rows_of(table, index, "test")
        self.index = index
        self.device = fabric.device
        self.lesions = load_lesions(processed, images)
        self.phantoms = self._usable(phantoms)
        self._pixels = {images.shape[1]: images}
        self._resident: dict[int, ResidentImages] = {}

    @property
    def resident(self) -> ResidentImages:
        """The images at their stored size."""
        return self.resident_at(self.pixels.shape[1])

    def resident_at(self, size: int) -> ResidentImages:
        """The images at `size` pixels (cached)."""
        if size not in self._resident:
            whole, phantoms = size == self.pixels.shape[1], self.phantoms
            if not whole and len(phantoms.images):
                phantoms = Phantoms(shrink(phantoms.images, size), phantoms.labels, shrink_maps(phantoms.lesions, size))
            lesions = self.lesions if whole else shrink_maps(self.lesions, size)
            pixels = self.pixels_at(size, slice(None))
            self._resident[size] = ResidentImages(pixels, self.labels, self.device, lesions, phantoms)
        return self._resident[size]

    def pixels_at(self, size: int, rows: np.ndarray | slice) -> np.ndarray:
        """uint8 [N, size, size, 3] of these rows, at the stored size or smaller (cached)."""
        if size not in self._pixels:
            self._pixels[size] = shrink(self.pixels, size)
        return self._pixels[size][rows]

    @property
    def content(self) -> tuple[np.ndarray, ...]:
        """All that training depends on, for the key of a resumable run."""
        return (self.pixels, self.labels, self.lesions, self.train, self.val, *self.phantoms)

    def _usable(self, folder: Path) -> Phantoms:
        """Those of the study's classes; a lesion pasted into an image only if that is a training image."""
        images, index = load_processed(folder)
        lesions, labels, backgrounds = load_lesions(folder, images), index["label"], index["background"]
        trained = backgrounds.isin([NO_BACKGROUND, *self.index["image_id"].iloc[self.train]])
        chosen = (labels.isin(self.classes) & trained).to_numpy()
        numbers = np.array([self.classes.index(label) for label in labels[chosen]], int)
        if chosen.all():
            return Phantoms(images, numbers, lesions)
        return Phantoms(images[chosen], numbers, lesions[chosen])


def train_main(
    stage: str,
    net: Classifier,
    settings: ClassifierSettings,
    spec: BatchSpec,
    data: TrainingData,
    fabric: Fabric,
    start: list[Path],
    out: Path,
    curves: Path,
) -> None:
    """Trains `net`, or keeps it unchanged if the stage has no epochs, and writes model, card and curves.

    Args:
        start: files of the initial weights of `net`; a resumed run must have the same.
        out: folder for model.safetensors and card.json.
        curves: folder for DVCLive's files.

    Raises:
        InputError: training diverged; nothing is written.
    """
    resume = ResumeState(stage, run_hash((settings, spec), data.content, start))
    arms = []
    with live_curves(curves, fabric.is_global_zero) as on_epoch:
        if spec.epochs:
            alone = [(settings, net)]
            arms = train_arms(alone, data.resident, data.train, data.val, spec, fabric, resume, on_epoch)
    card = training_card(stage, settings, arms, "lr_stage1 or lr_stage2")
    if fabric.is_global_zero:
        with atomic_path(out) as folder:
            save_classifier(folder, net, card)
        resume.delete()
