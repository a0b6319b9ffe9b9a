"""The joint network of the 3D paper (Figure 1): shared residual encoder, attention-gated decoder, grading head."""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from monai.networks.blocks import Convolution, SimpleASPP, SubpixelUpsample, UnetResBlock
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from btlib.core.runtime.reproducibility import keyed_layers, keyed_seed

MODALITIES, REGIONS, GRADES = 4, 3, 2
# Instance normalisation would equalise the channel means, from which the grade is predicted.
NORM = ("group", {"num_groups": 4})
RATES = (1, 2, 4)  # dilations of the context block, besides a 1 × 1 × 1 convolution


class JointArchitecture(NamedTuple):
    """Everything needed to rebuild the network; stored in the model's card.

    The bounds apply when a card is read, to limit memory.
    """

    # channels of the first of three levels; each level doubles them
    width: Annotated[int, Field(ge=8, le=256, multiple_of=8)]
    attention: bool
    segmentation: bool
    grading: Literal["none", "global", "regions"]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    # answers are averaged over windows and their left-right mirror images; older cards do not say so, but it was done
    flip_tta: bool = True


class JointOutput(NamedTuple):
    """Output of the network for volumes of S³ voxels.

    regions: logits [B, 3, S, S, S] of whole tumour, core and enhancing tumour, or None without segmentation; grade:
    logits [B, 2] of LGG and HGG, or None without grading; attention: coefficients [B, 1, s, s, s] in 0..1 of each gate,
    coarse to fine; deep: region logits of the decoder's levels, S/2 to S/8, for deep supervision.
    """

    regions: Tensor | None
    grade: Tensor | None
    attention: tuple[Tensor, ...]
    deep: tuple[Tensor, ...]


class Encoded(NamedTuple):
    """Skips of the first two levels [B, w, S/2…], [B, 2w, S/4…] and the context-enriched bottleneck [B, 4w, S/8…]."""

    skips: tuple[Tensor, ...]
    bottleneck: Tensor


class AttentionGate(nn.Module):
    """Additive attention (Oktay et al. 2018): α = σ(ψ(relu(W_g g + W_x x))), one coefficient per voxel of the skip x.

    Like MONAI's AttentionBlock, but with group normalisation, which suits batches of one, and returning α.
    """

    def __init__(self, gate_channels: int, skip_channels: int):
        super().__init__()
        hidden = skip_channels // 2
        self.of_gate = _pointwise(gate_channels, hidden)
        self.of_skip = _pointwise(skip_channels, hidden)
        self.psi = nn.Conv3d(hidden, 1, 1)

    def forward(self, gate: Tensor, skip: Tensor) -> Tensor:
        """α [B, 1, h, w, d] of a gating signal and a skip on the same grid."""
        return torch.sigmoid(self.psi(torch.relu(self.of_gate(gate) + self.of_skip(skip))))


class Up(nn.Module):
    """One decoder level: upsampling, concatenation with the (gated) skip, and a residual block."""

    def __init__(self, channels: int, skip_channels: int, attention: bool):
        super().__init__()
        self.reduce = _pointwise(channels, skip_channels)
        self.gate = AttentionGate(skip_channels, skip_channels) if attention else None
        self.block = UnetResBlock(3, 2 * skip_channels, skip_channels, kernel_size=3, stride=1, norm_name=NORM)

    def forward(self, coarse: Tensor, skip: Tensor) -> tuple[Tensor, Tensor | None]:
        """The level's features and its attention coefficients, or None without a gate."""
        raised = interpolate(self.reduce(coarse), size=skip.shape[2:], mode="trilinear", align_corners=False)
        coefficients = None if self.gate is None else self.gate(raised, skip)
        joined = torch.cat([raised, skip if coefficients is None else skip * coefficients], dim=1)
        return self.block(joined), coefficients


class FullResolution(nn.Module):
    """Region logits at S: decoder features, upsampled by sub-pixel convolution, for the approximate position, and the
    voxel's own intensities for the exact one."""

    def __init__(self, channels: int):
        super().__init__()
        # without MONAI's smoothing, whose pooling takes an eighth of a training step on a CPU
        conv = nn.Conv3d(channels, channels // 2 * 8, 1)
        self.raise_ = SubpixelUpsample(
            3, channels, channels // 2, scale_factor=2, conv_block=conv, apply_pad_pool=False
        )
        self.join = nn.Conv3d(channels // 2 + MODALITIES, channels, 1)
        self.logits = nn.Conv3d(channels, REGIONS, 1)

    def forward(self, decoder: Tensor, volumes: Tensor) -> Tensor:
        """[B, 3, S, S, S] from features [B, w, S/2, S/2, S/2] and volumes [B, 4, S, S, S]."""
        return self.logits(leaky_relu(self.join(torch.cat([self.raise_(decoder), volumes], dim=1))))


class JointNet(nn.Module):
    """Volumes [B, 4, S, S, S] (t1, t1ce, t2, flair, z-scored; S a multiple of 8) to regions and grade.

    A strided stem halves the grid, and two residual levels reduce it to S/8, where dilated convolutions cover the whole
    brain. The decoder returns to S/2 through attention-gated skips, with region logits at each level; `FullResolution`
    predicts those at S. The head grades from the pooled bottleneck and, with grading 'regions', from decoder features
    averaged with the predicted probability of each region as weight, so that the grade's gradient also reaches the
    segmentation.

    There is no hidden randomness: dropout masks are passed in, so that they can be keyed.
    """

    def __init__(self, architecture: JointArchitecture):
        super().__init__()
        self.architecture = a = architecture
        if not a.segmentation and a.grading != "global":
            raise ValueError(f"grading '{a.grading}' without segmentation; expected 'global'")
        w = a.width
        self.stem = UnetResBlock(3, MODALITIES, w, kernel_size=3, stride=2, norm_name=NORM)
        self.down = nn.ModuleList(
            UnetResBlock(3, n, 2 * n, kernel_size=3, stride=2, norm_name=NORM) for n in (w, 2 * w)
        )
        self.context = SimpleASPP(3, 4 * w, w, (1, 3, 3, 3), (1, *RATES), norm_type=NORM)
        if a.segmentation:
            self.up = nn.ModuleList([Up(4 * w, 2 * w, a.attention), Up(2 * w, w, a.attention)])
            self.out = FullResolution(w)
            self.deep = nn.ModuleList(nn.Conv3d(n, REGIONS, 1) for n in (w, 2 * w, 4 * w))
        if a.grading != "none":
            pooled = 4 * w + (REGIONS * (w + 1) if a.grading == "regions" else 0)
            self.grade = nn.Sequential(nn.Linear(pooled, 2 * w), nn.GELU(), nn.Linear(2 * w, GRADES))

    @property
    def backbone_names(self) -> tuple[str, ...]:
        """Names of the feature maps of `features`, for Grad-CAM."""
        return ("encoder", "decoder") if self.architecture.grading == "regions" else ("encoder",)

    def encode(self, volumes: Tensor) -> Encoded:
        first = self.stem(volumes)
        second = self.down[0](first)
        return Encoded((first, second), self.context(self.down[1](second)))

    def decode(
        self, encoded: Encoded, dropout_masks: Sequence[Tensor] | None = None
    ) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Decoder features (first the bottleneck) and attention coefficients, both coarse to fine."""
        features, coefficients = [_apply_dropout(encoded.bottleneck, dropout_masks, 0)], []
        for level, (up, skip) in enumerate(zip(self.up, reversed(encoded.skips), strict=True), start=1):
            feature, found = up(features[-1], skip)
            features.append(_apply_dropout(feature, dropout_masks, level))
            coefficients += [] if found is None else [found]
        return tuple(features), coefficients

    def features(self, volumes: Tensor) -> tuple[Tensor, ...]:
        """Inputs of the grading head: bottleneck [B, 4w, S/8…] and, with 'regions', decoder [B, w, S/2…]."""
        encoded = self.encode(volumes)
        if self.architecture.grading != "regions":
            return (encoded.bottleneck,)
        return encoded.bottleneck, self.decode(encoded)[0][-1]

    def head(self, features: Sequence[Tensor]) -> Tensor:
        """Grade logits [B, 2] from `features`."""
        vector = features[0].mean(dim=(2, 3, 4))
        if self.architecture.grading == "regions":
            vector = torch.cat([vector, _pool_by_region(features[1], self.deep[0](features[1]))], dim=1)
        return self.grade(vector)

    def dropout_masks(self, batch: int, key: tuple) -> list[Tensor] | None:
        """Channel masks [batch, C, 1, 1, 1] of bottleneck and coarse decoder level, rescaled; None if dropout is off.

        The finest level has no dropout: with channels missing there, small networks did not learn to distinguish the
        regions. MC dropout is also most useful in the central levels (Kendall et al. 2015, Bayesian SegNet).
        """
        p, w = self.architecture.dropout, self.architecture.width
        if p == 0:
            return None
        generator = torch.Generator().manual_seed(keyed_seed(*key, "dropout"))
        channels = (4 * w, 2 * w) if self.architecture.segmentation else (4 * w,)
        return [(torch.rand(batch, n, 1, 1, 1, generator=generator) >= p) / (1 - p) for n in channels]

    def forward(self, volumes: Tensor, dropout_masks: Sequence[Tensor] | None = None) -> JointOutput:
        return self.outputs(volumes, self.encode(volumes), dropout_masks)

    def outputs(self, volumes: Tensor, encoded: Encoded, dropout_masks: Sequence[Tensor] | None = None) -> JointOutput:
        """Everything after `encode`, which is independent of dropout and shared by all samples.

        Args:
            dropout_masks: from the method of that name, on the device of the volumes; None: no dropout.
        """
        if not self.architecture.segmentation:
            return JointOutput(None, self.head([_apply_dropout(encoded.bottleneck, dropout_masks, 0)]), (), ())
        levels, coefficients = self.decode(encoded, dropout_masks)
        grade = None if self.architecture.grading == "none" else self.head((levels[0], levels[-1]))
        deep = tuple(conv(level) for conv, level in zip(self.deep, reversed(levels), strict=True))
        return JointOutput(self.out(levels[-1], volumes), grade, tuple(coefficients), deep)


def build_joint(architecture: JointArchitecture, seed: int) -> JointNet:
    """A network with random weights; equal seeds and architectures give equal weights."""
    with keyed_layers(seed, "init"):
        return JointNet(architecture).eval()


def _pool_by_region(decoder: Tensor, regions: Tensor) -> Tensor:
    """[B, 3w + 3]: decoder features averaged with each region's predicted probability as weight, and region sizes.

    Probabilities are squared, otherwise the many voxels of low probability would outweigh a small lesion. Sizes are
    logarithms of soft volumes: the enhancing share of the tumour is a radiologist's first criterion for grading.
    """
    weight = torch.sigmoid(regions).square().flatten(2)
    total = weight.sum(dim=2) + 1.0  # plus one voxel, so that an absent region gives nearly zero, not noise
    means = torch.einsum("bcn,brn->brc", decoder.flatten(2), weight) / total[:, :, None]
    return torch.cat([means.flatten(1), total.log()], dim=1)


def _pointwise(channels: int, out: int) -> Convolution:
    return Convolution(3, channels, out, kernel_size=1, act=None, norm=NORM)


def _apply_dropout(feature: Tensor, dropout_masks: Sequence[Tensor] | None, level: int) -> Tensor:
    return feature if dropout_masks is None or level >= len(dropout_masks) else feature * dropout_masks[level]
