"""Phantom cases to train on: one label convention with real cases, and a second process."""

import os

import numpy as np
import pytest

from btlib.phantom.varied_volumes import training_volumes
from btlib.volumes.data.labels import canonical
from btlib.volumes.data.normalize import normalize
from btlib.volumes.data.phantom_cases import Making, write_phantom_cases
from btlib.volumes.data.store import load_case, load_index

SPACING = 6.0  # mm
ALL = (0.0, 100.0)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "phantom_cases"


def write(folder, atlas, cases=1):
    write_phantom_cases(folder, cases, Making(0, 0.0, SPACING, SPACING, ALL), atlas)


def test_phantoms_have_the_labels_of_real_cases_whatever_their_numbering(folder, atlas):
    """A phantom's file says 4 for enhancing tumour; a real case with the same outlines may say 3, or have 1 and 2
    exchanged."""
    write(folder, atlas)
    phantom = load_case(folder, "phantom_00000")
    made = training_volumes(0, 0, SPACING, 0.0, atlas)
    for labels, table in {"brats": [0, 1, 2, 3, 4], "canonical": [0, 1, 2, 0, 3], "msd": [0, 2, 1, 0, 3]}.items():
        numbers = np.uint8(table)[made.seg]
        seg = canonical(numbers, labels, "real_seg.nii")
        real = normalize("real", made.images.astype(np.float32), seg, made.affine, SPACING, ALL)
        assert np.array_equal(real.seg, phantom.seg), labels
    assert phantom.seg.any() and phantom.seg.max() <= 3


def test_output_of_another_process_in_progress_is_left_alone(folder, atlas):
    """No lock: both write whole folders under names of their own."""
    other = folder.with_name(f".phantom_cases.{os.getppid()}.partial")
    other.mkdir()
    (other / "half").write_bytes(b"written")
    write(folder, atlas)
    before = (folder / "phantom_00000.npy").read_bytes()
    write(folder, atlas)
    assert (folder / "phantom_00000.npy").read_bytes() == before
    assert load_index(folder)["case"].tolist() == ["phantom_00000"]
    assert (other / "half").read_bytes() == b"written"
