"""The two files of a trained network: tensors as safetensors, everything else as a JSON card. Never a pickle."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from btlib.core.runtime.artifacts import read_json, read_tensors, write_json, write_tensors
from btlib.core.runtime.errors import InputError, brief

TENSORS, CARD = "model.safetensors", "card.json"
RECREATE = "recreate it with `dvc repro`"

Card = TypeVar("Card", bound=BaseModel)
Network = TypeVar("Network", bound=nn.Module)


def write_network(folder: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Writes both files into `folder`."""
    write_tensors(folder / TENSORS, tensors)
    write_json(folder / CARD, card)


def read_described(folder: Path, kind: type[Card], remedy: str = RECREATE) -> Card:
    """Reads the fields of `kind` from the card of a network's folder.

    Raises:
        InputError: the card is missing, damaged, or lacks a field of `kind`.
    """
    try:
        return kind.model_validate(read_json(folder / CARD))
    except ValidationError as error:
        raise InputError(f"{folder / CARD}: missing or wrong: {brief(wrong_keys(error))}; {remedy}") from None


def wrong_keys(error: ValidationError) -> str:
    """The keys of a JSON file that are missing or wrong: 'calibration, novelty.threshold'."""
    return ", ".join(sorted({".".join(map(str, fault["loc"])) or "all of it" for fault in error.errors()}))


def build_described(folder: Path, kind: Callable[[Any], Network], architecture: Any) -> Network:
    """Builds the network of a card's architecture, without its tensors.

    Raises:
        InputError: the architecture is impossible, although each value by itself is valid.
    """
    try:
        return kind(architecture)
    except Exception as error:  # timm, MONAI and PyTorch raise various types
        raise InputError(f"{folder / CARD}: invalid architecture ({brief(error)}); {RECREATE}") from error


def fill(net: Network, folder: Path, known: Mapping[str, Tensor] | None = None) -> Network:
    """Loads the tensors of `folder` into the network and returns it in eval mode.

    Args:
        known: tensors that may be missing from the file.

    Raises:
        InputError: the file is missing or damaged, or does not fit the network.
    """
    tensors, _ = read_tensors(folder / TENSORS)
    try:
        net.load_state_dict({**(known or {}), **tensors})
    except RuntimeError as error:
        raise InputError(f"{folder / TENSORS}: does not fit {folder / CARD}: {brief(error)}; {RECREATE}") from error
    return net.eval()
