"""A trained joint network on disk: tensors as safetensors, the rest as a JSON card. Never a pickle."""

from pathlib import Path
from typing import Any

from btlib.artifacts import read_json, read_tensors, write_json, write_tensors
from btlib.errors import InputError
from btlib.nets.joint import JointArchitecture, JointNet
from btlib.nets.store import CARD, TENSORS
from btlib.nets.windows import Window


def save_joint(folder: Path, net: JointNet, window: Window, card: dict[str, Any]) -> None:
    """Writes the network, how it looks at a volume, and its card (normalisation, settings, history) into `folder`."""
    write_tensors(folder / TENSORS, net.state_dict())
    described = {"architecture": net.architecture._asdict(), "window": window._asdict()}
    write_json(folder / CARD, described | card)


def load_joint(folder: Path) -> tuple[JointNet, Window]:
    """Reads a network in eval mode, with the window that it was trained for.

    Raises:
        InputError: a file is missing or damaged, or the tensors do not fit the card's architecture.
    """
    card = read_json(folder / CARD)
    net = JointNet(JointArchitecture(**card["architecture"]))
    tensors, _ = read_tensors(folder / TENSORS)
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{folder / TENSORS}: does not fit {folder / CARD}: {error}") from error
    return net.eval(), Window(**card["window"])
