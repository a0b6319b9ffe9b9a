"""Outputs are whole or absent, whatever interrupts the writing."""

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from btlib import artifacts
from btlib.errors import InputError

# suffix -> (write, read, value, same)
KINDS = {
    ".json": (artifacts.write_json, artifacts.read_json, {"b": [1.5, None], "a": "é"}, lambda a, b: a == b),
    ".csv": (
        artifacts.write_csv,
        artifacts.read_csv,
        pd.DataFrame({"id": ["a", "b"], "p": [0.1, 1 / 3]}),
        lambda a, b: a.equals(b),
    ),
    ".npy": (artifacts.write_array, artifacts.read_array, np.arange(5000.0), np.array_equal),
    ".safetensors": (
        artifacts.write_tensors,
        lambda path: artifacts.read_tensors(path)[0],
        {"w": torch.arange(5000.0)},
        lambda a, b: a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a),
    ),
}


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return request.param, *KINDS[request.param]


def test_round_trip_leaves_nothing_else_behind(kind, tmp_path):
    suffix, write, read, value, same = kind
    path = tmp_path / "deep" / f"x{suffix}"
    write(path, value)
    assert same(value, read(path))
    assert list(path.parent.iterdir()) == [path]


def test_same_value_same_bytes(kind, tmp_path):
    suffix, write, _, value, _ = kind
    write(tmp_path / f"a{suffix}", value)
    write(tmp_path / f"b{suffix}", value)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_missing_file_says_how_to_make_it(kind, tmp_path):
    suffix, _, read, _, _ = kind
    with pytest.raises(InputError, match=rf"x\{suffix}: no such file; run `dvc repro`"):
        read(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("suffix", [".json", ".npy", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.9])
def test_a_file_cut_short_is_refused(suffix, kept, tmp_path):
    write, read, value, _ = KINDS[suffix]
    path = tmp_path / f"x{suffix}"
    write(path, value)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(InputError, match=rf"x\{suffix}: not .*run `dvc repro` again"):
        read(path)


def test_an_empty_table_is_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"x\.csv: not a readable CSV table"):
        artifacts.read_csv(tmp_path / "x.csv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, on which every write finds no space")
@pytest.mark.parametrize("suffix", [".json", ".csv", ".npy"])
def test_full_disk_keeps_the_old_file(suffix, tmp_path, monkeypatch):
    write, read, value, same = KINDS[suffix]
    path = tmp_path / f"x{suffix}"
    write(path, value)
    make_folder = Path.mkdir

    def folder_on_a_full_disk(folder, *given, **options):
        make_folder(folder, *given, **options)
        if folder.name.endswith(".partial"):
            (folder / path.name).symlink_to("/dev/full")

    monkeypatch.setattr(Path, "mkdir", folder_on_a_full_disk)
    with pytest.raises(InputError, match=r"no space left on the device while writing; nothing was changed"):
        write(path, value)
    assert same(value, read(path))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("100000 requested and 8176 written"),  # NumPy, as seen on a full tmpfs
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors, too
    ],
    ids=["ENOSPC", "EDQUOT", "numpy", "safetensors"],
)
def test_every_writers_full_disk_error_is_recognised(error, tmp_path):
    with pytest.raises(InputError, match="no space left"), artifacts.atomic_path(tmp_path / "x"):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_any_other_error_passes_through_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), artifacts.atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    left = tmp_path / ".x.json.partial"
    left.mkdir()
    (left / "x.json").write_text('{"half": ')
    artifacts.write_json(tmp_path / "x.json", {"whole": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert artifacts.read_json(tmp_path / "x.json") == {"whole": 1}


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for name in ("old.txt", "new.txt"):
        with artifacts.atomic_path(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["new.txt"]


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        artifacts.write_json(tmp_path / "x.json", {"accuracy": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_arrays_of_objects_are_refused_both_ways(tmp_path):
    with pytest.raises(ValueError, match="pickle"):
        artifacts.write_array(tmp_path / "x.npy", np.array([{}]))
    np.save(tmp_path / "y.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"y\.npy: not a whole \.npy array"):
        artifacts.read_array(tmp_path / "y.npy")


def test_text_columns_stay_text(tmp_path):
    artifacts.write_csv(tmp_path / "x.csv", pd.DataFrame({"patient": ["007", ""], "width": [3, 4]}))
    table = artifacts.read_csv(tmp_path / "x.csv", text=("patient", "absent"))
    assert table["patient"].tolist() == ["007", ""]
    assert table["width"].tolist() == [3, 4]


def test_tensor_metadata_comes_back(tmp_path):
    artifacts.write_tensors(tmp_path / "x.safetensors", {"w": torch.ones(2)}, {"name": "lite0"})
    assert artifacts.read_tensors(tmp_path / "x.safetensors")[1] == {"name": "lite0"}
