"""Backbones as sequences of units that can be cut into a frozen trunk and a tail: timm's, and `attention_cnn`."""

from collections.abc import Collection, Iterable, Sequence
from functools import singledispatch
from itertools import pairwise

import timm
import torch
from timm.models.convnext import ConvNeXt
from timm.models.densenet import DenseNet
from timm.models.efficientnet import EfficientNet
from timm.models.resnet import ResNet
from timm.models.vgg import VGG
from torch import Tensor, nn

from btlib.core.runtime.errors import InputError
from btlib.images.nets import attention_cnn
from btlib.images.nets.attention_cnn import AttentionCnn
from btlib.images.nets.depthwise import quicken
from btlib.images.nets.whole import WholeNetwork, create

FINEST = 4  # stride of a pyramid's first level
PROBE = 64  # pixels of the image on which the levels are found


class Normalization(nn.Module):
    """Images [B, 3, H, W] in 0..1 to (images - mean) / std per channel, eq 2 of the paper."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


class Backbone(nn.Module):
    """A network without its classifier: normalisation, stem, blocks, top.

    Images come as [B, 3, H, W] in 0..1; `normalise` applies the mean and standard deviation that the backbone was
    pretrained with. The last feature map is [B, channels, h, w] (eq 4, 5).

    Args:
        name: timm's name of the network, or `attention_cnn`.

    Raises:
        InputError: there is no such network, or (when called) it takes no images of their size or ends in no map.
    """

    def __init__(self, name: str):
        super().__init__()
        self.name = name
        self.net = _network(name)
        quicken(self.net)
        self.channels: int = self.net.num_features
        config = self.net.pretrained_cfg
        self.normalize = Normalization(config["mean"], config["std"])
        self.taps: tuple[int, ...] = ()

    def tap(self) -> tuple[int, ...]:
        """From now on keeps a feature pyramid: the last map of each grid from stride 4 on.

        Returns:
            Channels of the levels, finest first, the last feature map's at the end. A network in one piece has that
            level alone.
        """
        device = self.mean.device
        maps, found = torch.zeros(1, 3, PROBE, PROBE, device=device), []
        with torch.no_grad():
            for number, unit in enumerate(self.units):
                before, maps = maps, unit(maps)
                if number and maps.shape[2] < before.shape[2] <= PROBE // FINEST:
                    found.append((number - 1, before.shape[1]))
        self.taps = tuple(number for number, _ in found)
        return (*(channels for _, channels in found), self.channels)

    @property
    def mean(self) -> Tensor:
        return self.normalize.mean

    @property
    def std(self) -> Tensor:
        return self.normalize.std

    @property
    def units(self) -> list[nn.Module]:
        """Stem, blocks and top in the order in which they run."""
        return units_of(self.net)

    def cut_for(self, fraction: float) -> int:
        """How many leading units stay frozen when the last `fraction` of the blocks trains.

        0 freezes everything, 1 frees everything, stem included; in between at least one block and the top are free.

        Raises:
            InputError: the fraction is in between, and the network is of a family that btlib does not cut.
        """
        n_units = len(self.units)
        if fraction == 0:
            return n_units
        if fraction == 1:
            return 0
        if n_units == 1:
            raise InputError(
                f"training.unfreeze_fraction: {fraction} of '{self.name}', which btlib does not cut; set 0 or 1, or "
                f"choose a network of {', '.join(kind.__name__ for kind in units_of.registry if kind is not object)}"
            )
        n_blocks = n_units - 2
        return 1 + n_blocks - max(1, round(fraction * n_blocks))

    def trunk(self, images: Tensor, cut: int) -> tuple[Tensor, ...]:
        """Normalises images [B, 3, H, W] and runs the first `cut` units; what they make, after the levels so far."""
        return run_units(self.units[:cut], (self.normalize(images),), self.taps)

    def tail(self, maps: tuple[Tensor, ...], cut: int) -> tuple[Tensor, ...]:
        """Runs the units from `cut` on; the last feature map, after the levels of the pyramid."""
        return run_units(self.units[cut:], maps, self.taps, cut)

    def forward(self, images: Tensor) -> Tensor:
        """The last feature map."""
        return self.tail(self.trunk(images, 0), 0)[-1]


def run_units(
    units: Iterable[nn.Module], maps: tuple[Tensor, ...], taps: Collection[int], first: int = 0
) -> tuple[Tensor, ...]:
    """Runs units in a row on the last of `maps`; what they make, after the levels before it and those of the `taps`.

    Args:
        first: number of the first unit in its backbone.
    """
    *levels, x = maps
    for number, unit in enumerate(units, first):
        x = unit(x)
        if number in taps:
            levels.append(x)
    return (*levels, x)


@singledispatch
def units_of(net: nn.Module) -> list[nn.Module]:
    """Stem, blocks and top of a network, which in sequence compute its feature map; one function per family.

    A network of a family without such a function is one unit: it is frozen or trained as a whole.
    """
    return [WholeNetwork(net)]


@units_of.register
def _(net: EfficientNet) -> list[nn.Module]:
    return [
        nn.Sequential(net.conv_stem, net.bn1),
        *(block for stage in net.blocks for block in stage),
        nn.Sequential(net.conv_head, net.bn2),
    ]


@units_of.register
def _(net: ConvNeXt) -> list[nn.Module]:
    blocks = []
    for stage in net.stages:
        first, *rest = stage.blocks
        blocks += [nn.Sequential(stage.downsample, first), *rest]
    return [net.stem, *blocks, net.norm_pre]


@units_of.register
def _(net: ResNet) -> list[nn.Module]:
    stem = nn.Sequential(net.conv1, net.bn1, net.act1, net.maxpool)
    stages = (net.layer1, net.layer2, net.layer3, net.layer4)
    return [stem, *(block for stage in stages for block in stage), nn.Identity()]


@units_of.register
def _(net: DenseNet) -> list[nn.Module]:
    """Dense blocks and transitions: a layer inside a dense block takes the outputs of all earlier ones."""
    names = [name for name, _ in net.features.named_children()]
    first, last = names.index("denseblock1"), names.index("norm5")
    return [net.features[:first], *net.features[first:last], net.features[last:]]


@units_of.register
def _(net: VGG) -> list[nn.Module]:
    """Each convolution with what follows it up to the next one: BatchNorm, activation, pooling."""
    starts = [i for i, layer in enumerate(net.features) if isinstance(layer, nn.Conv2d)]
    return [*(net.features[a:b] for a, b in pairwise([*starts, len(net.features)])), nn.Identity()]


@units_of.register
def _(net: AttentionCnn) -> list[nn.Module]:
    return [net.stem, *net.blocks, nn.Identity()]


def _network(name: str) -> nn.Module:
    """The network with random weights and without its classifier."""
    if name == attention_cnn.NAME:
        return AttentionCnn()
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_')[-1]}*")[:3]
        raise InputError(f"backbones: timm has no model '{name}'" + (f"; near it: {', '.join(near)}" if near else ""))
    net = create(name)
    if isinstance(net, VGG):
        net.pre_logits = nn.Identity()  # 119 million weights that only the classifier uses
    return net
