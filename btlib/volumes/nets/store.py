"""A trained joint network on disk."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from btlib.core.runtime.network_files import build_described, fill, read_described, write_network
from btlib.volumes.nets.network import JointArchitecture, JointNet
from btlib.volumes.nets.windows import Window


class Described(BaseModel):
    """Fields of every joint network's card."""

    architecture: JointArchitecture
    window: Window


def save_joint(folder: Path, net: JointNet, window: Window, card: dict[str, Any]) -> None:
    """Writes the network, its window and its card (normalisation, settings, history) into `folder`."""
    described = {"architecture": net.architecture._asdict(), "window": window._asdict()}
    write_network(folder, net.state_dict(), described | card)


def load_joint(folder: Path) -> tuple[JointNet, Window]:
    """Reads a network in eval mode, with the window of its training.

    Raises:
        InputError: a file is missing or damaged, or the tensors do not fit the card's architecture.
    """
    card = read_described(folder, Described)
    return fill(build_described(folder, JointNet, card.architecture), folder), card.window
