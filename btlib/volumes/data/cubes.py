"""Normalised cases on disk, delivered as cubes of the network's field of view on the device."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from btlib.volumes.data.cases import Cases
from btlib.volumes.data.conventions import GRADES, regions_of
from btlib.volumes.data.store import load_index


class Cubes(NamedTuple):
    """images [B, 4, F, F, F]; regions [B, 3, F, F, F] as 0 or 1, all 0 if unknown; segmented [B] bool; grade [B] as
    index in GRADES, −1 if unknown."""

    images: Tensor
    regions: Tensor
    segmented: Tensor
    grade: Tensor


class StoredVolumes:
    """All cases of a study, by row number.

    They stay on disk as float16, cropped to the brain; a batch goes to the device as float32.

    Args:
        kept: folder (output of stage normalize_volumes or phantom_cases) -> names of its cases.
    """

    def __init__(self, kept: Mapping[Path, Sequence[str]], device: torch.device):
        self.cases = Cases(kept)
        indexes = {folder: load_index(folder).set_index("case")["grade"] for folder in kept}
        grades = [indexes[folder][name] for folder, names in kept.items() for name in names]
        self.grades = np.array([GRADES.index(grade) if grade else -1 for grade in grades])
        self.segmented = self.cases.segmented
        self.device = device

    def cubes(
        self,
        rows: np.ndarray,
        roi_size: int,
        rng: np.random.Generator | None = None,
        mine: np.ndarray | slice = slice(None),
    ) -> Cubes:
        """Cubes of `roi_size` voxels per side.

        A brain that fits is centred and padded with zeros. A larger one is cropped: at random by `rng`, centrally
        without.

        Args:
            rows: of a whole batch, for which `rng` draws.
            mine: positions in it of the cubes to read.
        """
        windows = [_window(self.cases.shapes[row], roi_size, rng) for row in rows]
        positions = np.arange(len(rows))[mine]
        rows = rows[mine]
        images = np.zeros((len(rows), 4, roi_size, roi_size, roi_size), np.float16)
        regions = np.zeros((len(rows), 3, roi_size, roi_size, roi_size), bool)
        for number, (row, position) in enumerate(zip(rows, positions, strict=True)):
            case = self.cases[row]
            target, source = windows[position]
            images[(number, slice(None), *target)] = case.image[(slice(None), *source)]
            if case.seg is not None:
                regions[(number, slice(None), *target)] = regions_of(case.seg[source])
        return Cubes(
            torch.from_numpy(images).to(self.device).float(),
            torch.from_numpy(regions).to(self.device).float(),
            torch.from_numpy(self.segmented[rows]).to(self.device),
            torch.from_numpy(self.grades[rows]).to(self.device),
        )


def _window(shape: Sequence[int], roi_size: int, rng: np.random.Generator | None) -> tuple[tuple, tuple]:
    """Matching slices of the cube and of the volume."""
    target, source = [], []
    for length in shape:
        kept, spare = min(length, roi_size), max(0, length - roi_size)
        start = spare // 2 if rng is None else int(rng.integers(spare + 1))
        before = (roi_size - kept) // 2
        target.append(slice(before, before + kept))
        source.append(slice(start, start + kept))
    return tuple(target), tuple(source)
