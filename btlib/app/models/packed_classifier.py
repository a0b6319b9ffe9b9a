"""Self-contained model folder of the 2D classifier: tensors, and a card with everything that prediction needs."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field

from btlib.app.models.model_card import NOVELTY, Calibration, Limit, Unsure, read_card, read_novelty
from btlib.app.models.novelty import Novelty
from btlib.core.runtime.artifacts import atomic_path, write_tensors
from btlib.images.data.preprocessing import Clahe
from btlib.images.nets.classifier import Classifier
from btlib.images.nets.store import load_classifier, save_classifier

STAGE = "package_classifier"


class Preprocessing(BaseModel):
    """Arguments of `images.data.preprocessing.preprocess`; the network itself standardises its input."""

    image_size: Annotated[int, Field(ge=8, le=4096)]
    white_percentile: Annotated[float, Field(gt=50, le=100)] | None = None
    clahe: Clahe


class ClassifierCard(BaseModel):
    """Fields of the card besides architecture and training history."""

    preprocessing: Preprocessing
    calibration: Calibration
    unsure: Unsure
    novelty: Limit
    data_note: str
    intended_use: str


class PackedClassifier(NamedTuple):
    """Contents of a folder written by `save_packed`."""

    net: Classifier
    novelty: Novelty
    card: ClassifierCard


def save_packed(folder: Path, packed: PackedClassifier, history: dict[str, Any]) -> None:
    """Writes network, card and novelty detector into `folder`, atomically.

    Args:
        history: how the network was trained, for the card.
    """
    with atomic_path(folder) as temporary:
        save_classifier(temporary, packed.net, history | packed.card.model_dump(mode="json"))
        write_tensors(temporary / NOVELTY, packed.novelty.tensors())


def load_packed(folder: Path) -> PackedClassifier:
    """Reads a folder written by `save_packed`.

    Raises:
        InputError: a file is missing or damaged, or the card lacks a field that prediction needs.
    """
    card = read_card(folder, ClassifierCard, STAGE)
    return PackedClassifier(load_classifier(folder), read_novelty(folder, card.novelty), card)
