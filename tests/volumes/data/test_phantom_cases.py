"""Phantom cases to train on: normalised like the study's, and the same however they were made."""

from functools import partial

import numpy as np
import pytest
import torch

from btlib.core.runtime.workers import in_parallel
from btlib.phantom.varied_volumes import training_grade, training_volumes
from btlib.volumes.data import phantom_cases
from btlib.volumes.data.cases import Cases
from btlib.volumes.data.cubes import StoredVolumes
from btlib.volumes.data.labels import canonical
from btlib.volumes.data.normalize import normalize
from btlib.volumes.data.phantom_cases import Making, write_phantom_cases
from btlib.volumes.data.store import load_index

SCANNED, SPACING, PERCENTILES = 6.0, 7.0, (0.5, 99.5)


@pytest.fixture(scope="module")
def write(atlas):
    def written(folder, cases, seed=0):
        write_phantom_cases(folder, cases, Making(seed, 1.0, SCANNED, SPACING, PERCENTILES), atlas)
        return folder

    return written


@pytest.fixture(scope="module")
def folder(write, tmp_path_factory):
    return write(tmp_path_factory.mktemp("phantoms") / "cases", 3)


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_index_lists_them_with_the_grades_in_turn(folder):
    index = load_index(folder)
    assert list(index.columns) == ["case", "patient", "grade", "has_seg"]
    assert index["case"].tolist() == ["phantom_00000", "phantom_00001", "phantom_00002"]
    assert index["patient"].equals(index["case"]) and index["has_seg"].all()
    assert index["grade"].tolist() == [training_grade(number) for number in range(3)]
    assert sorted(files(folder)) == ["index.csv", *(f"{name}.npy" for name in index["case"])]


def test_records_are_the_normalised_scans(folder, atlas):
    cases = Cases({folder: list(load_index(folder)["case"])})
    assert cases.segmented.all()
    for number, case in enumerate(cases):
        made = training_volumes(0, number, SCANNED, 1.0, atlas)
        seg = canonical(made.seg, "brats", case.name)
        expected = normalize(case.name, made.images.astype(np.float32), seg, made.affine, SPACING, PERCENTILES)
        for name in ("image", "seg", "affine", "native_affine", "native_shape"):
            np.testing.assert_array_equal(getattr(case, name), getattr(expected, name))
        assert set(np.unique(case.seg)) <= {0, 1, 2, 3} and (case.seg > 0).any()


@pytest.mark.parametrize("jobs", [1, 2])
def test_bytes_do_not_depend_on_the_processes_or_the_number_of_cases(folder, write, tmp_path, monkeypatch, jobs):
    monkeypatch.setattr(phantom_cases, "in_parallel", partial(in_parallel, jobs=jobs))
    again, before = files(write(tmp_path / "again", 2)), files(folder)
    assert {name: again[name] for name in again if name.endswith(".npy")} == {
        name: before[name] for name in ("phantom_00000.npy", "phantom_00001.npy")
    }


def test_another_seed_gives_other_cases(folder, write, tmp_path):
    other, before = files(write(tmp_path / "other", 1, seed=1)), files(folder)
    assert other["phantom_00000.npy"] not in before.values()


def test_none_are_an_empty_index_beside_which_the_study_trains(folder, write, tmp_path):
    nothing = write(tmp_path / "none", 0)
    assert list(files(nothing)) == ["index.csv"]
    assert load_index(nothing).columns.equals(load_index(folder).columns) and load_index(nothing).empty
    names = list(load_index(folder)["case"])
    volumes = StoredVolumes({folder: names, nothing: []}, torch.device("cpu"))
    assert len(volumes.cases) == len(volumes.grades) == 3


def test_a_study_and_its_phantoms_are_rows_of_one_set(folder, write, tmp_path):
    more = write(tmp_path / "more", 2, seed=1)
    volumes = StoredVolumes({folder: ["phantom_00002"], more: ["phantom_00000", "phantom_00001"]}, torch.device("cpu"))
    assert [path.parent for path in volumes.cases.paths] == [folder, more, more]
    grades = [load_index(folder)["grade"][2], *load_index(more)["grade"]]
    assert [("LGG", "HGG")[grade] for grade in volumes.grades] == grades


def test_a_failure_leaves_the_old_cases(write, tmp_path, monkeypatch):
    write(tmp_path / "cases", 1)
    before = files(tmp_path / "cases")

    def broken(*_):
        raise RuntimeError("stopped half-way")

    monkeypatch.setattr(phantom_cases, "training_volumes", broken)
    with pytest.raises(RuntimeError, match="half-way"):
        write(tmp_path / "cases", 2)
    assert files(tmp_path / "cases") == before and len(list(tmp_path.iterdir())) == 1
