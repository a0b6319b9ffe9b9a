"""The joint network as a folder that predicts by itself: tensors, and a card with all that they need beside them."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field

from btlib.app.models.model_card import NOVELTY, Calibration, Limit, Unsure, read_card, read_novelty
from btlib.app.models.novelty import Novelty
from btlib.core.runtime.artifacts import atomic_path, write_tensors
from btlib.volumes.nets.network import JointNet
from btlib.volumes.nets.store import load_joint, save_joint
from btlib.volumes.nets.windows import Window

STAGE = "package_joint"
Percentile = Annotated[float, Field(ge=0, le=100)]


class Preprocessing(BaseModel):
    """Of `btlib.volumes.data.normalize.normalize`: mm of the cubic voxels, and the percentiles that are kept."""

    spacing: Annotated[float, Field(ge=0.1, le=100)]
    clip_percentiles: tuple[Percentile, Percentile]


class Dropout(BaseModel):
    """How the uncertainty is sampled."""

    samples: Annotated[int, Field(ge=2, le=10_000)]
    seed: Annotated[int, Field(ge=0)]


class JointCard(BaseModel):
    """What a card says beside the architecture, the window and how the network was trained.

    calibration and unsure are None for a network that does not grade.
    """

    preprocessing: Preprocessing
    calibration: Calibration | None
    unsure: Unsure | None
    novelty: Limit
    mc_dropout: Dropout
    data_note: str
    intended_use: str


class PackedJoint(NamedTuple):
    """What a folder of `save_packed` holds."""

    net: JointNet
    window: Window
    novelty: Novelty
    card: JointCard


def save_packed(folder: Path, packed: PackedJoint, history: dict[str, Any]) -> None:
    """Writes network, card and what is familiar into `folder`, whole or not at all.

    Args:
        history: how the network was trained, for the card.
    """
    with atomic_path(folder) as temporary:
        save_joint(temporary, packed.net, packed.window, history | packed.card.model_dump(mode="json"))
        write_tensors(temporary / NOVELTY, packed.novelty.tensors())


def load_packed(folder: Path) -> PackedJoint:
    """Reads such a folder.

    Raises:
        InputError: a file is missing or damaged, or the card lacks what prediction needs.
    """
    card = read_card(folder, JointCard, STAGE)
    net, window = load_joint(folder)
    return PackedJoint(net, window, read_novelty(folder, card.novelty), card)
