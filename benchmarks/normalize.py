"""Normalisation in cases/s, against MONAI's dictionary transforms for the same work on the same volumes in memory.

Four modalities and a segmentation of BraTS size, 240 × 240 × 155 at 1 mm: reoriented to RAS, cropped to the brain,
resampled, clipped and z-scored inside the brain, cast to float16. File access is excluded, since it is the same for
both. MONAI's chain does slightly less: it does not smooth before downsampling, and resamples labels by nearest
neighbour. One process, alternating order, medians and the ratio of medians.

Run: OMP_NUM_THREADS=1 python -m benchmarks.normalize [--cases 2] [--repeats 5]
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from monai.data import MetaTensor
from monai.transforms import (
    CastToTyped,
    ClipIntensityPercentilesd,
    Compose,
    CropForegroundd,
    NormalizeIntensityd,
    Orientationd,
    Spacingd,
)
from tqdm import tqdm

from benchmarks.arms import machine
from btlib.volumes.data.normalize import normalize

SHAPE = (240, 240, 155)
RADII = (70, 88, 66)  # voxels, of an ellipsoid that stands in for the brain
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
SPACINGS = (3.0, 1.4)  # mm: the demo's, and that of 128 voxels around a brain
PERCENTILES = (0.5, 99.5)


def synthetic_case(number: int) -> tuple[np.ndarray, np.ndarray]:
    """images float32 [4, *SHAPE], 0 outside the brain, and labels uint8 [*SHAPE] of concentric shells."""
    rng = np.random.default_rng(number)
    places = np.indices(SHAPE, dtype=np.float32) - (np.array(SHAPE, np.float32).reshape(3, 1, 1, 1) - 1) / 2
    brain = sum((place / radius) ** 2 for place, radius in zip(places, RADII, strict=True)) < 1
    images = brain * rng.normal(500, 60, (4, *SHAPE)).astype(np.float32)
    radius = np.sqrt(((places - rng.uniform(-25, 25, (3, 1, 1, 1))) ** 2).sum(axis=0))
    return images, np.select([radius < 10, radius < 13, radius < 25], [1, 3, 2], 0).astype(np.uint8)


def ours(spacing: float, images: np.ndarray, seg: np.ndarray) -> None:
    normalize("case", images, seg, AFFINE, spacing, PERCENTILES)


def monai_chain(spacing: float) -> Callable[[np.ndarray, np.ndarray], None]:
    """MONAI's transforms for the same steps in the same order."""
    keys = ("image", "seg")
    chain = Compose(
        [
            Orientationd(keys, "RAS", labels=None),
            CropForegroundd(keys, "image", select_fn=lambda voxels: voxels != 0),
            Spacingd(keys, [spacing] * 3, mode=("bilinear", "nearest")),
            ClipIntensityPercentilesd("image", *PERCENTILES, channel_wise=True),
            NormalizeIntensityd("image", nonzero=True, channel_wise=True),
            CastToTyped(keys, (np.float16, np.uint8)),
        ]
    )
    return lambda images, seg: chain(
        {"image": MetaTensor(images, affine=AFFINE), "seg": MetaTensor(seg[None], affine=AFFINE)}
    )


def compare(spacing: float, cases: int, repeats: int) -> tuple[float, float]:
    """Median seconds per case, ours and MONAI's, in alternating order after a warm-up of each."""
    volumes = [synthetic_case(number) for number in range(cases)]
    ways = {"ours": partial(ours, spacing), "monai": monai_chain(spacing)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(*volumes[0])
    for number in tqdm(range(repeats), desc="repeats"):
        for name in ("ours", "monai") if number % 2 == 0 else ("monai", "ours"):
            started = time.perf_counter()
            for images, seg in volumes:
                ways[name](images, seg)
            seconds[name].append((time.perf_counter() - started) / cases)
    return float(np.median(seconds["ours"])), float(np.median(seconds["monai"]))


def main(cases: int, repeats: int) -> None:
    print(machine())
    print(f"{cases} cases of 4 × {' × '.join(map(str, SHAPE))} and labels, medians of {repeats}")
    for spacing in SPACINGS:
        own, other = compare(spacing, cases, repeats)
        print(f"{spacing:g} mm: {1 / own:.2f} cases/s, MONAI {1 / other:.2f} cases/s, ratio {other / own:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    main(**vars(parser.parse_args()))
