"""A trained classifier on disk, complete or as the difference from its pretrained backbones."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from btlib.core.runtime.artifacts import read_json, read_tensors
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.network_files import CARD, build_described, fill, read_described, write_network
from btlib.images.nets.classifier import Architecture, Classifier
from btlib.images.nets.weights import has_pretrained


class Described(BaseModel):
    """Fields that every classifier's card has."""

    architecture: Architecture


def save_classifier(folder: Path, net: Classifier, card: dict[str, Any]) -> None:
    """Writes the network and its card (parameters, preprocessing, history) into `folder`."""
    write_network(folder, net.state_dict(), {"architecture": net.architecture._asdict()} | card)


def save_trained(folder: Path, net: Classifier, states: Mapping[str, Mapping[str, Tensor]], card: dict) -> None:
    """As `save_classifier`, without tensors that are still as pretrained, which most are in many arms."""
    start = _pretrained(net, states)
    changed = {
        name: tensor
        for name, tensor in net.state_dict().items()
        if name not in start or not torch.equal(tensor.cpu(), start[name])
    }
    write_network(folder, changed, {"architecture": net.architecture._asdict()} | card)


def read_states(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Tensor]]:
    """Backbone name -> pretrained feature state from stage weights, for those with pretrained weights."""
    wanted = sorted({name for name in names if has_pretrained(name)})
    return {name: read_tensors(folder / f"{name}.safetensors")[0] for name in wanted}


def load_classifier(folder: Path, states: Mapping[str, Mapping[str, Tensor]] | None = None) -> Classifier:
    """Reads a network in eval mode.

    Args:
        states: for a folder of `save_trained`, the same pretrained states as there.

    Raises:
        InputError: a file is missing or damaged, or the tensors do not fit the card's architecture.
    """
    net = build_described(folder, Classifier, read_described(folder, Described).architecture)
    return fill(net, folder, _pretrained(net, states) if states else None)


def kept_networks(folder: Path, weights: Path) -> Iterator[tuple[Classifier, dict[str, Any]]]:
    """The networks of one arm, seed by seed, with their cards; none when `folder` does not exist.

    Args:
        folder: has one folder of `save_trained` per seed, named after it.
        weights: output of stage weights.

    Raises:
        InputError: there are other files, or a network is damaged.
    """
    places = list(folder.glob("*"))
    foreign = [place for place in places if not (place.name.isascii() and place.name.isdigit())]
    if foreign:
        raise InputError(f"{foreign[0]}: expected folders named by their seed and nothing else; remove it")
    for place in sorted(places, key=lambda path: int(path.name)):
        states = read_states(weights, read_described(place, Described).architecture.backbones)
        yield load_classifier(place, states), read_json(place / CARD)


def _pretrained(net: Classifier, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The pretrained tensors under their names in the classifier."""
    return {
        f"backbones.{number}.net.{name}": tensor
        for number, backbone in enumerate(net.backbone_names)
        if has_pretrained(backbone)
        for name, tensor in states[backbone].items()
    }
