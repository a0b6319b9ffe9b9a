"""The two files of a trained network: tensors as safetensors, the rest as a JSON card. Never a pickle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from btlib.artifacts import read_tensors, write_json, write_tensors
from btlib.errors import InputError

TENSORS, CARD = "model.safetensors", "card.json"


def write_network(folder: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Writes both files into `folder`."""
    write_tensors(folder / TENSORS, tensors)
    write_json(folder / CARD, card)


def fill(net: nn.Module, folder: Path, known: Mapping[str, Tensor] | None = None) -> nn.Module:
    """Puts the tensors of `folder` into the network and returns it in eval mode.

    Args:
        known: tensors that the file need not hold.

    Raises:
        InputError: the file is missing or damaged, or does not fit the network.
    """
    tensors, _ = read_tensors(folder / TENSORS)
    try:
        net.load_state_dict({**(known or {}), **tensors})
    except RuntimeError as error:
        raise InputError(f"{folder / TENSORS}: does not fit {folder / CARD}: {error}") from error
    return net.eval()
