"""The classifier: one or two backbones, a fusion or none, dropout and a linear layer."""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import linear

from btlib.core.runtime.reproducibility import keyed_layers
from btlib.images.data.tumor_or_none import NONE as NO_TUMOR
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.fusion import FUSIONS, NONE, Fused, Pooling
from btlib.images.nets.lesion import WIDTH, LesionHead, Shown, TiedAnswer, pooled_under
from btlib.images.nets.weights import has_pretrained, load_features


class Architecture(NamedTuple):
    """Everything needed to rebuild the network; stored in the model's card.

    The bounds apply when a card is read: it must not demand more memory than a computer has.
    """

    backbones: Annotated[tuple[Annotated[str, Field(max_length=100)], ...], Field(min_length=1, max_length=2)]
    fusion: Literal[NONE, *FUSIONS]
    width: Annotated[int, Field(ge=1, le=4096)]
    heads: Annotated[int, Field(ge=1, le=4096)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=1000)]
    flip_tta: bool = False
    lesion: bool = False
    tied: bool = False


class Reading(NamedTuple):
    """Logits [V, B, K] of each branch, and logits of the lesion map [B, h, w], None without a lesion head."""

    branches: Tensor
    lesion: Tensor | None


class Answer(NamedTuple):
    """Logits [B, K], and logits of the lesion map [B, h, w], None without a lesion head."""

    logits: Tensor
    lesion: Tensor | None


class Classifier(nn.Module):
    """Images [B, 3, H, W] in 0..1 to logits [B, K].

    With `fusion` 'none', each backbone is a branch with its own logits, and the answer is their mean (late fusion).

    There is no hidden randomness: the trainer hands in the dropout mask, so that it can be keyed.
    """

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = architecture
        self.backbones = nn.ModuleList(Backbone(name) for name in architecture.backbones)
        channels = [backbone.channels for backbone in self.backbones]
        if architecture.fusion == NONE:
            self.fusion: nn.Module = Pooling()
            self.branches = channels
        else:
            self.fusion = FUSIONS[architecture.fusion](channels, architecture.width, architecture.heads)
            self.branches = [self.fusion.out_features]
        self.lesion: LesionHead | None = None
        if architecture.lesion:
            self.lesion = LesionHead([backbone.tap() for backbone in self.backbones])
            alone = len(self.branches) == len(channels)  # late fusion, or one backbone: a branch reads its own map
            pooled = channels if alone else [sum(channels)]
            self.branches = [b + c + WIDTH for b, c in zip(self.branches, pooled, strict=True)]
        tied = architecture.lesion and architecture.tied and NO_TUMOR in architecture.classes
        self.tied = TiedAnswer(architecture.classes.index(NO_TUMOR)) if tied else None
        self.linear = nn.Linear(sum(self.branches), len(architecture.classes))

    @property
    def classes(self) -> tuple[str, ...]:
        return self.architecture.classes

    @property
    def backbone_names(self) -> tuple[str, ...]:
        return self.architecture.backbones

    def cuts_for(self, unfreeze_fraction: float) -> tuple[int, ...]:
        """Per backbone, how many leading units stay frozen (see `Backbone.cut_for`)."""
        return tuple(backbone.cut_for(unfreeze_fraction) for backbone in self.backbones)

    def trunk(self, images: Tensor, cuts: Sequence[int]) -> tuple[tuple[Tensor, ...], ...]:
        """Output of the frozen part, see `Backbone.trunk`."""
        return tuple(b.trunk(images, cut) for b, cut in zip(self.backbones, cuts, strict=True))

    def tail(self, trunk: Sequence[tuple[Tensor, ...]], cuts: Sequence[int]) -> tuple[Tensor, ...]:
        """The rest of the backbones; see `features`."""
        maps = [b.tail(x, cut) for b, x, cut in zip(self.backbones, trunk, cuts, strict=True)]
        return (*(of_one[-1] for of_one in maps), *(level for of_one in maps for level in of_one[:-1]))

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The last feature map [B, D, h, w] of each backbone (eq 4, 5), then the finer levels of their pyramids."""
        whole = (0,) * len(self.backbones)
        return self.tail(self.trunk(images, whole), whole)

    def lesion_map(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What the lesion head makes of the feature maps: logits [B, h, w] and the features behind them."""
        last, finer = features[: len(self.backbones)], list(features[len(self.backbones) :])
        pyramids = [
            [*(finer.pop(0) for _ in backbone.taps), top] for backbone, top in zip(self.backbones, last, strict=True)
        ]
        return self.lesion(pyramids)

    def fuse(self, features: Sequence[Tensor]) -> Fused:
        """The fused vector with the gates and attention maps behind it, for inspection; of the last feature maps."""
        return self.fusion(features)

    def branch_logits(self, features: Sequence[Tensor], dropout_mask: Tensor | None = None) -> Tensor:
        """Feature maps to the logits [V, B, K] of each branch: of the fusion, or of each backbone under late fusion.

        Each branch has its own columns of the linear layer; the bias is shared.

        Args:
            dropout_mask: [B, fused width], already divided by the keep probability; None is no dropout.
        """
        return self.read(features, dropout_mask).branches

    def read(
        self, features: Sequence[Tensor], dropout_mask: Tensor | None = None, shown: Shown | None = None
    ) -> Reading:
        """As `branch_logits`, with the lesion map that they follow from.

        Args:
            shown: the lesions as far as they are known, in training: the features under them are read, and where they
                are not known, gradients of the logits do not reach the map.
        """
        last = features[: len(self.backbones)]
        vector, lesion, seen = self.fuse(last).vector_BD, None, None
        if self.architecture.lesion:
            lesion, fine = self.lesion_map(features)
            seen = lesion if shown is None else shown.taught(lesion)
            probability = seen.sigmoid() if shown is None else shown.instead_of(seen)
            vector = self._with_pooled(vector, last, probability, fine)
        vector = vector if dropout_mask is None else vector * dropout_mask
        parts = zip(vector.split(self.branches, dim=1), self.linear.weight.split(self.branches, dim=1), strict=True)
        logits = torch.stack([linear(part, weight, self.linear.bias) for part, weight in parts])
        return Reading(logits if self.tied is None else self.tied(logits, seen), lesion)

    def _with_pooled(self, vector: Tensor, last: Sequence[Tensor], probability: Tensor, fine: Tensor) -> Tensor:
        """The fused vector with the features under the lesion, branch by branch."""
        pooled, shared = [pooled_under(feature, probability) for feature in last], pooled_under(fine, probability)
        if len(self.branches) < len(last):
            return torch.cat([vector, *pooled, shared], dim=1)
        own = vector.split([feature.shape[1] for feature in last], dim=1) if len(last) > 1 else [vector]
        return torch.cat([part for pair in zip(own, pooled, strict=True) for part in (*pair, shared)], dim=1)

    def head(self, features: Sequence[Tensor]) -> Tensor:
        """Feature maps to logits [B, K], the mean over the branches."""
        return self.branch_logits(features).mean(dim=0)

    def answer(self, features: Sequence[Tensor], images: Tensor) -> Answer:
        """The answer to images whose feature maps are known.

        With `flip_tta`, the mean over the images and their left-right mirror images (test-time augmentation).
        """
        branches, lesion = self.read(features)
        logits = branches.mean(dim=0)
        if self.architecture.flip_tta:
            mirrored = self.read(self.features(images.flip(3)))
            logits = (logits + mirrored.branches.mean(dim=0)) / 2
            lesion = None if lesion is None else (lesion + mirrored.lesion.flip(2)) / 2
        return Answer(logits, lesion)

    def forward(self, images: Tensor) -> Tensor:
        return self.answer(self.features(images), images).logits


def build_classifier(architecture: Architecture, states: dict[str, dict[str, Tensor]], seed: int) -> Classifier:
    """A classifier with pretrained backbones; fusion, linear layer and everything without pretrained weights is random.

    Args:
        states: backbone name -> feature state (see `features_state`), of those that `has_pretrained` weights.
        seed: of the random weights; equal seeds and architectures give equal weights.
    """
    with keyed_layers(seed, "init"):
        net = Classifier(architecture)
    for backbone in net.backbones:
        if has_pretrained(backbone.name):
            load_features(backbone.net, states[backbone.name], f"weights of {backbone.name}")
    return net.eval()
