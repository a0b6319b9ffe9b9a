"""The few scanners of the volumes, each with its own contrasts, blur, shading, noise and scale.

A patient's scanner is independent of the grade.
"""

from dataclasses import dataclass, field

import numpy as np

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.phantom.contrasts import MODALITIES, intensities
from btlib.phantom.tissues import INDEX, TISSUES

SCANNERS = 5
IN_PLANE = 0.5  # mm, standard deviation of the blur within an axial slice


@dataclass(frozen=True)
class Scanner:
    """Imaging properties of a site; M modalities in the order of `contrasts.MODALITIES`, T tissues."""

    tables: np.ndarray  # [M, T] intensity of each tissue, white matter about 100 on T1
    blur: np.ndarray  # [M, 3] mm, standard deviation of the blur along each axis
    shading: float  # standard deviation of the log sensitivity of the coil over the brain
    noise: float  # standard deviation, in the units of the tables
    gain: np.ndarray  # [M] stored value per unit of the tables
    gamma: np.ndarray = field(default_factory=lambda: np.ones(len(MODALITIES)))  # [M] of the grey levels
    shift: np.ndarray = field(default_factory=lambda: np.zeros((len(MODALITIES), 3)))  # mm, misregistration
    flow: float = 0.0  # most that moving fluid gains on FLAIR, in the units of the tables
    grain: tuple[tuple[float, float], ...] = ((0.12, 8.0),)  # (amplitude, mm) of intensity variations in lesions


def sample_scanner(rng: np.random.Generator, seed: int) -> Scanner:
    """One of the SCANNERS of a seed, with small variations of tables, noise and gain for one patient."""
    scanner = _scanner(seed, int(rng.integers(SCANNERS)))
    return Scanner(
        tables=scanner.tables * rng.normal(1, 0.02, len(TISSUES)).astype(np.float32),
        blur=scanner.blur,
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
        blur=_axial(rng.uniform(0.4, 2.0, len(MODALITIES))),
        shading=rng.uniform(0.02, 0.10),
        noise=rng.uniform(1.5, 5.0),
        gain=rng.uniform(1.5, 12.0, len(MODALITIES)),
    )


def _axial(thickness: np.ndarray) -> np.ndarray:
    """Blur [M, 3] of axial slices whose profiles have standard deviations `thickness` [M], mm."""
    return np.stack([np.full(len(thickness), IN_PLANE), np.full(len(thickness), IN_PLANE), thickness], axis=1)


def _table(rng: np.random.Generator, modality: str) -> np.ndarray:
    """Intensity of each tissue [T], varied by a few per cent, with varying contrast of grey and white matter."""
    table = intensities(modality)
    gray, white = table[[INDEX["gm"], INDEX["wm"]]]
    table *= rng.normal(1, 0.05, len(TISSUES)).astype(np.float32)
    table[INDEX["gm"]] = table[INDEX["wm"]] * (1 + rng.uniform(0.9, 1.4) * (gray / white - 1))
    return table
