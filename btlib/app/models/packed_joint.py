"""Self-contained model folder of the joint network: tensors, and a card with everything that prediction needs."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field

from btlib.app.models.model_card import NOVELTY, Calibration, Limit, Unsure, read_card, read_novelty
from btlib.app.models.novelty import Novelty
from btlib.core.runtime.artifacts import atomic_path, write_tensors
from btlib.volumes.evaluation.masks import PLAIN, Postprocessing
from btlib.volumes.nets.network import JointNet
from btlib.volumes.nets.store import load_joint, save_joint
from btlib.volumes.nets.windows import Window

STAGE = "package_joint"
Percentile = Annotated[float, Field(ge=0, le=100)]


class Preprocessing(BaseModel):
    """Arguments of `btlib.volumes.data.normalize.normalize`: isotropic spacing in mm, clipping percentiles."""

    spacing: Annotated[float, Field(ge=0.1, le=100)]
    clip_percentiles: tuple[Percentile, Percentile]


class Dropout(BaseModel):
    """Settings of Monte Carlo dropout."""

    samples: Annotated[int, Field(ge=2, le=10_000)]
    seed: Annotated[int, Field(ge=0)]


class JointCard(BaseModel):
    """Fields of the card besides architecture, window and training history.

    calibration and unsure are None for a network without a grading head. Cards from before there was post-processing do
    not have that field; their masks were made without.
    """

    preprocessing: Preprocessing
    calibration: Calibration | None
    unsure: Unsure | None
    novelty: Limit
    mc_dropout: Dropout
    postprocessing: Postprocessing = PLAIN
    data_note: str
    intended_use: str


class PackedJoint(NamedTuple):
    """Contents of a folder written by `save_packed`."""

    net: JointNet
    window: Window
    novelty: Novelty
    card: JointCard


def save_packed(folder: Path, packed: PackedJoint, history: dict[str, Any]) -> None:
    """Writes network, card and novelty detector into `folder`, atomically.

    Args:
        history: how the network was trained, for the card.
    """
    with atomic_path(folder) as temporary:
        save_joint(temporary, packed.net, packed.window, history | packed.card.model_dump(mode="json"))
        write_tensors(temporary / NOVELTY, packed.novelty.tensors())


def load_packed(folder: Path) -> PackedJoint:
    """Reads a folder written by `save_packed`.

    Raises:
        InputError: a file is missing or damaged, or the card lacks a field that prediction needs.
    """
    card = read_card(folder, JointCard, STAGE)
    net, window = load_joint(folder)
    return PackedJoint(net, window, read_novelty(folder, card.novelty), card)
