"""Phantom cases to train on, in the form of the normalised cases."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.core.runtime.workers import in_parallel
from btlib.phantom.atlas import Atlas
from btlib.phantom.varied_volumes import training_grade, training_volumes
from btlib.volumes.data.labels import canonical
from btlib.volumes.data.normalize import normalize
from btlib.volumes.data.store import case_path, save_case


class Making(NamedTuple):
    """How cases are made: seed and variety, see `training_volumes`; `scanned`: voxel size of their scans, mm; spacing
    and percentiles, see `normalize`."""

    seed: int
    variety: float
    scanned: float
    spacing: float
    percentiles: Sequence[float]


def write_phantom_cases(folder: Path, cases: int, how: Making, atlas: Atlas | None) -> None:
    """Writes them to `folder` as `write_normalized` does; the first ones are the same for every number of them.

    Args:
        atlas: may be None if there are to be no cases.
    """
    # No lock, unlike `write_normalized`: a second process shares no kept cases with this one. Each writes the same
    # cases into a folder of its own, and the output is one of the two, whole.
    names = [f"phantom_{number:05d}" for number in range(cases)]
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        write = partial(_write, temporary, how, atlas)
        for _ in in_parallel(write, list(enumerate(names)), "phantom cases", "case", batch=1):
            pass
        grades = [training_grade(number) for number in range(cases)]
        table = pd.DataFrame({"case": names, "patient": names, "grade": grades, "has_seg": True})
        write_csv(temporary / "index.csv", table)


def _write(folder: Path, how: Making, atlas: Atlas, numbered: tuple[int, str]) -> None:
    number, name = numbered
    made = training_volumes(how.seed, number, how.scanned, how.variety, atlas)
    seg = canonical(made.seg, "brats", name)
    images = made.images.astype(np.float32)
    save_case(case_path(folder, name), normalize(name, images, seg, made.affine, how.spacing, how.percentiles))
