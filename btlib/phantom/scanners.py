"""The few scanners of the volumes, each with its own contrasts, blur, shading, noise and scale.

A patient's scanner is independent of the grade.
"""

from dataclasses import dataclass

import numpy as np

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.phantom.contrasts import MODALITIES, intensities
from btlib.phantom.tissues import INDEX, TISSUES

SCANNERS = 5


@dataclass(frozen=True)
class Scanner:
    """Imaging properties of a site; M modalities in the order of `contrasts.MODALITIES`, T tissues."""

    tables: np.ndarray  # [M, T] intensity of each tissue, white matter about 100 on T1
    thickness: np.ndarray  # [M] mm, standard deviation of the blur across slices
    shading: float  # standard deviation of the log sensitivity of the coil over the brain
    noise: float  # standard deviation, in the units of the tables
    gain: np.ndarray  # [M] stored value per unit of the tables


def sample_scanner(rng: np.random.Generator, seed: int) -> Scanner:
    """One of the SCANNERS of a seed, with small variations of tables, noise and gain for one patient."""
    scanner = _scanner(seed, int(rng.integers(SCANNERS)))
    return Scanner(
        tables=scanner.tables * rng.normal(1, 0.02, len(TISSUES)).astype(np.float32),
        thickness=scanner.thickness,
        shading=scanner.shading,
        noise=scanner.noise * rng.uniform(0.8, 1.25),
        gain=scanner.gain * rng.uniform(0.85, 1.15, len(MODALITIES)),
    )


def _scanner(seed: int, number: int) -> Scanner:
    rng = keyed_rng(seed, "phantom scanner", number)
    # T1 and T1ce are one sequence, before and after gadolinium, and share their draws.
    sequences = [modality.removesuffix("ce") for modality in MODALITIES]
    return Scanner(
        tables=np.stack(
            [
                _table(keyed_rng(seed, "phantom sequence", number, sequence), modality)
                for modality, sequence in zip(MODALITIES, sequences, strict=True)
            ]
        ),
        thickness=rng.uniform(0.4, 2.0, len(MODALITIES)),
        shading=rng.uniform(0.02, 0.10),
        noise=rng.uniform(1.5, 5.0),
        gain=rng.uniform(1.5, 12.0, len(MODALITIES)),
    )


def _table(rng: np.random.Generator, modality: str) -> np.ndarray:
    """Intensity of each tissue [T], varied by a few per cent, with varying contrast of grey and white matter."""
    table = intensities(modality)
    gray, white = table[[INDEX["gm"], INDEX["wm"]]]
    table *= rng.normal(1, 0.05, len(TISSUES)).astype(np.float32)
    table[INDEX["gm"]] = table[INDEX["wm"]] * (1 + rng.uniform(0.9, 1.4) * (gray / white - 1))
    return table
