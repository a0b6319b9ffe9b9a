"""Plain 3D CNNs that grade a whole volume: published networks without segmentation, as baselines of the ablation."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from monai.networks.nets import DenseNet121, ResNet
from torch import Tensor, nn

from btlib.core.runtime.reproducibility import keyed_layers
from btlib.volumes.nets.network import GRADES, MODALITIES, NORM, JointNet, JointOutput


class GroupNormResNet(ResNet):
    """MONAI's ResNet, with the requested normalisation in its blocks too: MONAI 1.6 gives it to the first layer only,
    and the others keep batch normalisation, whose statistics over two volumes are noise."""

    def _make_layer(self, *arguments: Any, **options: Any) -> nn.Sequential:
        return super()._make_layer(*arguments, **options | {"norm": NORM})


def _resnet(blocks: int, width: int) -> nn.Module:
    """A residual network (He et al. 2016) of four levels with so many basic blocks each."""
    return GroupNormResNet(
        "basic",
        [blocks] * 4,
        [width, 2 * width, 4 * width, 8 * width],
        n_input_channels=MODALITIES,
        conv1_t_stride=2,  # as published; MONAI's default of 1 is meant for video
        bias_downsample=False,
        num_classes=GRADES,
        norm=NORM,
    )


def _densenet121(width: int) -> nn.Module:
    """DenseNet-121 (Huang et al. 2017), whose growth rate is half its first width."""
    return DenseNet121(3, MODALITIES, GRADES, init_features=width, growth_rate=width // 2, norm=NORM)


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "resnet10": partial(_resnet, 1),
    "resnet18": partial(_resnet, 2),
    "densenet121": _densenet121,
}


class PlainArchitecture(NamedTuple):
    """Everything needed to rebuild and run the network: its name in NETWORKS, the channels of its first level (64 in
    the publications), and whether answers are averaged over mirror images, as in a JointArchitecture."""

    network: str
    width: int
    flip_tta: bool = True

    # not fields: what a JointArchitecture says of a network that only grades
    segmentation = False
    grading = "global"


class PlainCNN(nn.Module):
    """Volumes [B, 4, S, S, S] to the grade, with the methods of a `JointNet` that training and prediction call.

    Group normalisation as in the joint network, no dropout, and no other hidden randomness.
    """

    def __init__(self, architecture: PlainArchitecture):
        super().__init__()
        self.architecture = architecture
        self.net = NETWORKS[architecture.network](architecture.width)

    def dropout_masks(self, batch: int, key: tuple) -> None:
        """None: no dropout."""

    def encode(self, volumes: Tensor) -> Tensor:
        """Grade logits [B, 2]: there is no decoder that could share the features."""
        return self.net(volumes)

    def outputs(self, volumes: Tensor, encoded: Tensor, dropout_masks: Sequence[Tensor] | None = None) -> JointOutput:
        return JointOutput(None, encoded, (), ())

    def forward(self, volumes: Tensor, dropout_masks: Sequence[Tensor] | None = None) -> JointOutput:
        return self.outputs(volumes, self.encode(volumes))


VolumeNet = JointNet | PlainCNN


def build_plain(architecture: PlainArchitecture, seed: int) -> PlainCNN:
    """A network with random weights; equal seeds and architectures give equal weights."""
    with keyed_layers(seed, "init"):
        return PlainCNN(architecture).eval()
