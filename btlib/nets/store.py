"""A trained classifier on disk: tensors as safetensors, the rest as a JSON card. Never a pickle."""

from pathlib import Path
from typing import Any

from btlib.artifacts import read_json, read_tensors, write_json, write_tensors
from btlib.errors import InputError
from btlib.nets.classifier import Architecture, Classifier

TENSORS, CARD = "model.safetensors", "card.json"


def save_classifier(folder: Path, net: Classifier, card: dict[str, Any]) -> None:
    """Writes the network and its card (parameters, preprocessing, history) into `folder`."""
    write_tensors(folder / TENSORS, net.state_dict())
    write_json(folder / CARD, {"architecture": net.architecture._asdict()} | card)


def load_classifier(folder: Path) -> Classifier:
    """Reads a network in eval mode.

    Raises:
        InputError: a file is missing or damaged, or the tensors do not fit the card's architecture.
    """
    described = read_json(folder / CARD)["architecture"]
    lists = {key: tuple(value) for key, value in described.items() if isinstance(value, list)}
    net = Classifier(Architecture(**described | lists))
    tensors, _ = read_tensors(folder / TENSORS)
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{folder / TENSORS}: does not fit {folder / CARD}: {error}") from error
    return net.eval()
