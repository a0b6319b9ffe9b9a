"""Many mapped cases: damage is found before training, or when the voxels are first used."""

import os
import resource
from pathlib import Path

import numpy as np
import pytest

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.cases import Cases
from btlib.volumes.data.store import Case, case_path, save_case

NAMES = ["a", "b"]


def a_case(name, seed=0):
    rng = np.random.default_rng(seed)
    image, seg = rng.normal(size=(4, 5, 6, 7)), rng.integers(0, 4, (5, 6, 7))
    return Case(name, image.astype(np.float16), seg.astype(np.uint8), np.eye(4), np.eye(4), (5, 6, 7))


@pytest.fixture
def folder(tmp_path):
    save_case(case_path(tmp_path, "a"), a_case("a"))
    save_case(case_path(tmp_path, "b"), a_case("b", 1)._replace(seg=None))
    return tmp_path


def flip(path, place=-1):
    with path.open("r+b") as file:
        file.seek(place, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(place, os.SEEK_END)
        file.write(bytes([byte ^ 1]))


def test_cases_by_number(folder):
    cases = Cases({folder: NAMES})
    assert [case.name for case in cases] == NAMES and cases.segmented.tolist() == [True, False]
    assert np.array_equal(cases[0].image, a_case("a").image) and np.array_equal(cases[0].seg, a_case("a").seg)
    assert cases[1].seg is None
    other = Cases({folder: NAMES[::-1]})
    assert np.array_equal(other.checksums, cases.checksums[::-1]) and len(np.unique(cases.checksums, axis=0)) == 2


def test_short_or_missing_file_is_found_at_once(folder):
    path = case_path(folder, "b")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"b\.npy: not a valid normalised case \(.*\); recreate it: `dvc repro -f -s"):
        Cases({folder: NAMES})
    path.unlink()
    with pytest.raises(InputError, match=r"b\.npy: no such file; run `dvc repro`"):
        Cases({folder: NAMES})


@pytest.mark.parametrize(
    ("folder_name", "stage"), [("normalized", "normalize_volumes"), ("phantom_cases", "phantom_cases")]
)
def test_remedy_names_the_stage_that_wrote_the_folder(tmp_path, folder_name, stage):
    path = case_path(tmp_path / folder_name, "a")
    save_case(path, a_case("a"))
    whole = path.read_bytes()
    again = rf"{folder_name}/a\.npy: not a valid normalised case \(.*\); recreate it: `dvc repro -f -s {stage}`, then"
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=again):
        Cases({path.parent: ["a"]})
    path.write_bytes(whole)
    flip(path)
    with pytest.raises(InputError, match=again):
        Cases({path.parent: ["a"]})[0]


def test_flipped_bit_is_found_at_the_first_use(folder):
    flip(case_path(folder, "b"))
    cases = Cases({folder: NAMES})
    assert cases[0].image.any()
    with pytest.raises(
        InputError, match=r"b\.npy: not a valid normalised case \(its checksum does not match\); recreate"
    ):
        cases[1]


def test_file_damaged_after_its_first_use(folder):
    cases = Cases({folder: NAMES})
    assert cases[0].image.any()
    path = case_path(folder, "a")
    flip(path)
    os.utime(path, ns=(0, 1))  # a coarse clock would give both states the same time
    with pytest.raises(InputError, match=r"a\.npy: not a valid normalised case \(its checksum"):
        cases[0]


def test_file_replaced_during_a_run(folder):
    cases = Cases({folder: NAMES})
    case = cases[0]
    save_case(case_path(folder, "a"), a_case("a", 2))
    assert np.array_equal(case.image, a_case("a").image)  # still the earlier file
    with pytest.raises(
        InputError, match=r"a\.npy: other data than at the start of this run; run the same command again"
    ):
        cases[0]
    save_case(case_path(folder, "a"), a_case("a"))
    assert np.array_equal(cases[0].image, a_case("a").image)


def test_more_cases_than_files_that_may_be_open(folder):
    names = [f"c{number}" for number in range(80)]
    for name in names:
        os.link(case_path(folder, "a"), case_path(folder, name))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 40, hard))
    try:
        assert sum(int(case.seg.any()) for case in Cases({folder: names})) == 80
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
