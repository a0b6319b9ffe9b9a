"""The classifier: one or two backbones, a fusion, dropout and a linear layer."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from btlib.nets.backbones import Backbone
from btlib.nets.fusion import Fused, PairFusion, Pooling
from btlib.nets.weights import has_pretrained, load_features
from btlib.reproducibility import keyed_layers


class Architecture(NamedTuple):
    """All that is needed to build the network again; it travels in the model's card."""

    backbones: tuple[str, ...]
    fusion: str
    width: int
    heads: int
    dropout: float
    classes: tuple[str, ...]
    mirrored: bool = False
    drop_path: float = 0.0


class Classifier(nn.Module):
    """Images [B, 3, H, W] in 0..1 to logits [B, K].

    There is no hidden randomness: the trainer hands in the masks of dropout (`keep`) and of `DropPath`, so that they
    can be keyed.
    """

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = architecture
        self.backbones = nn.ModuleList(Backbone(name, architecture.drop_path) for name in architecture.backbones)
        channels = [backbone.channels for backbone in self.backbones]
        if architecture.fusion == "none":
            self.fusion: nn.Module = Pooling(*channels)
        else:
            self.fusion = PairFusion(channels, architecture.fusion, architecture.width, architecture.heads)
        self.linear = nn.Linear(self.fusion.out_features, len(architecture.classes))

    @property
    def classes(self) -> tuple[str, ...]:
        return self.architecture.classes

    @property
    def backbone_names(self) -> tuple[str, ...]:
        return self.architecture.backbones

    def cuts_for(self, unfreeze_fraction: float) -> tuple[int, ...]:
        """Per backbone, how many leading units stay frozen (see `Backbone.cut_for`)."""
        return tuple(backbone.cut_for(unfreeze_fraction) for backbone in self.backbones)

    def trunk(self, images: Tensor, cuts: Sequence[int]) -> tuple[Tensor, ...]:
        """What the frozen part makes of images: one tensor per backbone."""
        return tuple(b.trunk(images, cut) for b, cut in zip(self.backbones, cuts, strict=True))

    def tail(self, trunk: Sequence[Tensor], cuts: Sequence[int]) -> tuple[Tensor, ...]:
        """The rest of the backbones: one feature map [B, D, h, w] each."""
        return tuple(b.tail(x, cut) for b, x, cut in zip(self.backbones, trunk, cuts, strict=True))

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The last feature map of each backbone (eq 4, 5)."""
        return tuple(backbone(images) for backbone in self.backbones)

    def fuse(self, features: Sequence[Tensor]) -> Fused:
        """The fused vector with the gates and attention maps behind it, for inspection."""
        return self.fusion(features)

    def head(self, features: Sequence[Tensor], keep: Tensor | None = None) -> Tensor:
        """Feature maps to logits [B, K].

        Args:
            keep: the dropout mask [B, fused width], already divided by the keep probability; None is no dropout.
        """
        vector = self.fuse(features).vector_BD
        return self.linear(vector if keep is None else vector * keep)

    def answer(self, features: Sequence[Tensor], images: Tensor) -> Tensor:
        """Logits [B, K] of images whose feature maps are known.

        With `mirrored`, the mean of theirs and of those of the images mirrored left to right: a tumour is the same
        tumour in a mirror.
        """
        logits = self.head(features)
        if self.architecture.mirrored:
            logits = (logits + self.head(self.features(images.flip(3)))) / 2
        return logits

    def forward(self, images: Tensor) -> Tensor:
        return self.answer(self.features(images), images)


def build_classifier(architecture: Architecture, states: dict[str, dict[str, Tensor]], seed: int) -> Classifier:
    """A classifier with pretrained backbones; fusion, linear layer and what has no pretrained weights freshly drawn.

    Args:
        states: backbone name -> feature state (see `features_state`), of those that `has_pretrained` weights.
        seed: what the draw depends on; equal seeds and architectures give equal weights.
    """
    with keyed_layers(seed, "init"):
        net = Classifier(architecture)
    for backbone in net.backbones:
        if has_pretrained(backbone.name):
            load_features(backbone.net, states[backbone.name], f"weights of {backbone.name}")
    return net.eval()
