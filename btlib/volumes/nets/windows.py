"""A network on a volume of any size: in one window if the brain fits, otherwise in sliding windows."""

from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

import torch
from monai.inferers import sliding_window_inference
from pydantic import Field
from torch import Tensor
from torch.nn.functional import interpolate, pad

from btlib.volumes.nets.network import JointOutput
from btlib.volumes.nets.plain import VolumeNet

OVERLAP = 0.5
Side = Annotated[int, Field(ge=8, le=512, multiple_of=8)]  # checked when a card is read


class Window(NamedTuple):
    """Input cubes of the network: `roi_size` voxels per side, downsampled to `size` per side."""

    roi_size: Side
    size: Side


class Whole(NamedTuple):
    """Output of the network for one volume of X × Y × Z voxels.

    regions: logits [3, X, Y, Z] or None; grade: logits [2] or None; attention: the finest gate's coefficients
    [X, Y, Z] or None.
    """

    regions: Tensor | None
    grade: Tensor | None
    attention: Tensor | None


def shrunk(volumes: Tensor, size: int) -> Tensor:
    """Downsamples [B, C, F, F, F] to [B, C, size, size, size] by averaging; unchanged if it has that size."""
    return volumes if volumes.shape[2] == size else interpolate(volumes, size=(size,) * 3, mode="area")


def views(net: VolumeNet, cube: Tensor) -> Tensor:
    """A cube [1, C, S, S, S] as the network sees it: with `flip_tta` followed by its left-right mirror image."""
    return torch.cat([cube, cube.flip(2)]) if net.architecture.flip_tta else cube


def see_whole(net: VolumeNet, volume: Tensor, window: Window) -> Whole:
    """Runs the network without dropout over a volume [4, X, Y, Z]; see `see_samples`."""
    return see_samples(net, volume, window, [None])[0]


def see_samples(
    net: VolumeNet, volume: Tensor, window: Window, dropout_masks: Sequence[Sequence[Tensor] | None]
) -> list[Whole]:
    """Runs the network on a volume [4, X, Y, Z]: in one zero-padded window if it fits, otherwise by MONAI's sliding
    window.

    With `flip_tta`, logits are averaged over each window and its left-right mirror image (test-time augmentation). On a
    CPU that takes less time than a single copy, for which PyTorch picks a slower convolution. Logits of overlapping
    windows are averaged with Gaussian weights. Grade logits are averaged over the volume, weighted by the probability
    of tumour, so that windows without tumour have no influence.

    Args:
        dropout_masks: of one volume for each sample (None: no dropout); the encoder runs once for all.
    """
    parts: list[tuple[int, str]] = []

    def maps(cubes: Tensor) -> Tensor:
        seen = views(net, shrunk(cubes, window.size))
        encoded = net.encode(seen)
        named = {
            (sample, name): value
            for sample, masks in enumerate(dropout_masks)
            for name, value in _as_maps(net.outputs(seen, encoded, masks), cubes.shape[2:]).items()
        }
        parts[:] = [part for part, value in named.items() for _ in range(value.shape[1])]
        return torch.cat(list(named.values()), dim=1)

    if max(volume.shape[1:]) <= window.roi_size:
        (found,) = _run_one_window(maps, volume[None], window.roi_size)
    else:
        sides = (window.roi_size,) * 3
        (found,) = sliding_window_inference(volume[None], sides, 1, maps, overlap=OVERLAP, mode="gaussian")
    rows = {part: [i for i, other in enumerate(parts) if other == part] for part in dict.fromkeys(parts)}
    return [
        _whole({name: found[rows[of, name]] for of, name in rows if of == sample})
        for sample in range(len(dropout_masks))
    ]


def _run_one_window(maps: Callable[[Tensor], Tensor], volume: Tensor, roi_size: int) -> Tensor:
    """The maps [1, C, X, Y, Z] of a volume centred in one cube. (MONAI's weights would only cancel out, slowly.)"""
    before = [(roi_size - side) // 2 for side in volume.shape[2:]]
    margins = [(low, roi_size - side - low) for low, side in zip(before, volume.shape[2:], strict=True)]
    cube = pad(volume, [margin for low_and_high in reversed(margins) for margin in low_and_high])
    inside = [slice(low, low + side) for low, side in zip(before, volume.shape[2:], strict=True)]
    return maps(cube)[:, :, *inside]


def _whole(maps: dict[str, Tensor]) -> Whole:
    regions = maps.get("regions")
    grade = _average_grade(maps["grade"], regions) if "grade" in maps else None
    return Whole(regions, grade, maps["attention"][0] if "attention" in maps else None)


def _as_maps(out: JointOutput, grid: Sequence[int]) -> dict[str, Tensor]:
    """Every output as maps [1, C, *grid] (the grade as constant maps), averaged over the views."""
    found = {}
    if out.regions is not None:
        found["regions"] = _upsample(_average_views(out.regions), grid)
    if out.grade is not None:
        found["grade"] = out.grade.mean(dim=0, keepdim=True)[:, :, None, None, None].expand(-1, -1, *grid)
    if out.attention:
        found["attention"] = _upsample(_average_views(out.attention[-1]), grid)
    return {name: value.float() for name, value in found.items()}


def _average_views(maps: Tensor) -> Tensor:
    """Averages the maps of the `views`, [2, C, …] to [1, C, …]; of one view they stay as they are."""
    plain, *mirrored = maps.split(1)
    return (plain + mirrored[0].flip(2)) / 2 if mirrored else plain


def _upsample(maps: Tensor, grid: Sequence[int]) -> Tensor:
    if tuple(maps.shape[2:]) == tuple(grid):
        return maps
    return interpolate(maps.float(), size=tuple(grid), mode="trilinear", align_corners=False)


def _average_grade(grade: Tensor, regions: Tensor | None) -> Tensor:
    """Mean [2] of the grade maps [2, X, Y, Z], weighted by the probability of tumour if available."""
    if regions is None:
        return grade.mean(dim=(1, 2, 3))
    weight = torch.sigmoid(regions[0]) + 1e-6
    return (grade * weight).sum(dim=(1, 2, 3)) / weight.sum()
