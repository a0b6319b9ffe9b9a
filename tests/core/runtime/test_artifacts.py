"""Atomic outputs: complete or absent, whatever interrupts writing."""

import errno
import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from btlib.core.runtime import artifacts
from btlib.core.runtime.errors import InputError

# suffix -> (write, read, value, same)
KINDS = {
    ".json": (artifacts.write_json, artifacts.read_json, {"b": [1.5, None], "a": "é"}, lambda a, b: a == b),
    ".csv": (
        artifacts.write_csv,
        artifacts.read_csv,
        pd.DataFrame({"id": ["a", "b"], "p": [0.1, 1 / 3]}),
        lambda a, b: a.equals(b),
    ),
    ".safetensors": (
        artifacts.write_tensors,
        lambda path: artifacts.read_tensors(path)[0],
        {"w": torch.arange(5000.0)},
        lambda a, b: a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a),
    ),
}


def ended_process():
    """Process id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


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


def test_missing_file_error_names_the_remedy(kind, tmp_path):
    suffix, _, read, _, _ = kind
    with pytest.raises(InputError, match=rf"x\{suffix}: no such file; run `dvc repro`"):
        read(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("suffix", [".json", ".npy", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.9])
def test_truncated_file_is_refused(suffix, kept, tmp_path):
    array = {".npy": (np.save, artifacts.read_array, np.arange(5000.0), np.array_equal)}
    write, read, value, _ = (KINDS | array)[suffix]
    path = tmp_path / f"x{suffix}"
    write(path, value)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(InputError, match=rf"x\{suffix}: not .*run `dvc repro` again"):
        read(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[" * 100_000, "RecursionError"),
        (b'{"a": NaN}', "ValueError: NaN, which is not valid JSON"),
        (b'{"a": -Infinity}', "ValueError: -Infinity, which is not valid JSON"),
        (b'"\xff"', "UnicodeDecodeError"),
        (b"1" * 5000, "ValueError: Exceeds the limit"),
        (b"{" + b'"long name' * 100_000, "JSONDecodeError"),
    ],
)
def test_any_bytes_are_json_or_refused_briefly(content, reason, tmp_path):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"x\.json: not a valid JSON file \({reason}") as found:
        artifacts.read_json(tmp_path / "x.json")
    assert len(str(found.value)) < 500


def test_huge_json_is_not_read(tmp_path):
    with (tmp_path / "x.json").open("wb") as handle:
        handle.truncate(artifacts.JSON_BYTES + 1)
    with pytest.raises(InputError, match=r"x\.json: not a valid JSON file \(ValueError: 67108865 bytes, expected"):
        artifacts.read_json(tmp_path / "x.json")


@pytest.mark.parametrize(
    "header",
    [
        {"w": {"dtype": "F4", "shape": [1], "data_offsets": [0, 4]}},
        {"w": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}},
        {"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"w": 3},
    ],
)
def test_damaged_headers_of_tensors_are_refused(header, tmp_path):
    text = json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(InputError, match=r"x\.safetensors: not a valid safetensors file"):
        artifacts.read_tensors(tmp_path / "x.safetensors")


def test_unreadable_file_is_not_reported_as_damaged(tmp_path, monkeypatch):
    (tmp_path / "x.json").write_text("{}")

    def refused(path, *given):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(InputError, match=r"x\.json: cannot be read \(.*Permission denied"):
        artifacts.read_json(tmp_path / "x.json")


def test_an_empty_table_is_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"x\.csv: not a valid CSV table"):
        artifacts.read_csv(tmp_path / "x.csv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, where every write fails for lack of space")
@pytest.mark.parametrize("suffix", [".json", ".csv"])
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
def test_every_writers_full_disk_error_is_recognized(error, tmp_path):
    with pytest.raises(InputError, match="no space left"), artifacts.atomic_path(tmp_path / "x"):
        raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file/x", "Not a directory|File exists"),
        ("file/deep/x", "Not a directory"),
        ("folder", "Is a directory"),
        ("x" * 250, "File name too long"),
        ("x" * 300, "File name too long"),
        ("x\0y", "null byte"),
        pytest.param(
            "/sys/x",
            "Operation not permitted|Permission denied|Read-only file system",
            marks=pytest.mark.skipif(not Path("/sys").is_dir(), reason="needs Linux's unwritable /sys"),
        ),
    ],
)
def test_unwritable_path_is_named_with_the_reason(place, reason, tmp_path):
    (tmp_path / "file").write_text("a")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    message = rf"^{re.escape(str(tmp_path / place))}: cannot be written \(.*({reason}).*\); nothing was changed"
    with pytest.raises(InputError, match=message):
        artifacts.write_json(tmp_path / place, {})
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "Permission denied"), OSError(errno.EROFS, "Read-only")]
)
@pytest.mark.parametrize("call", ["mkdir", "replace"])
def test_a_read_only_folder_is_one_message(call, error, tmp_path, monkeypatch):
    """Root may write anywhere, so the refusal is simulated."""

    def refused(path, *given, **options):
        raise type(error)(*error.args, str(path))

    monkeypatch.setattr(Path, call, refused)
    with pytest.raises(InputError, match=r"x\.json: cannot be written \((Permission denied|Read-only)\)"):
        artifacts.write_json(tmp_path / "x.json", {})
    assert list(tmp_path.iterdir()) == []


def test_error_within_the_block_is_not_reported_as_unwritable(tmp_path):
    with pytest.raises(FileNotFoundError), artifacts.atomic_path(tmp_path / "x"):
        (tmp_path / "input").read_text()
    with pytest.raises(IsADirectoryError), artifacts.atomic_path(tmp_path / "x"):
        Path("/").read_text()


def test_other_errors_propagate_and_keep_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), artifacts.atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_run_are_removed_by_the_next(tmp_path):
    alive = tmp_path / f".x.json.{os.getppid()}.partial"
    for left in (tmp_path / f".x.json.{ended_process()}.partial", tmp_path / ".x.json.partial", alive):
        left.mkdir()
        (left / "x.json").write_text('{"half": ')
    artifacts.write_json(tmp_path / "x.json", {"whole": 1})
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", alive.name}
    assert artifacts.read_json(tmp_path / "x.json") == {"whole": 1}


def test_folder_is_replaced_completely(tmp_path):
    for name in ("old.txt", "new.txt"):
        with artifacts.atomic_path(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["new.txt"]


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        artifacts.write_json(tmp_path / "x.json", {"accuracy": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_object_arrays_are_not_read(tmp_path):
    np.save(tmp_path / "y.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"y\.npy: not a valid \.npy array"):
        artifacts.read_array(tmp_path / "y.npy")


def test_text_columns_stay_text(tmp_path):
    artifacts.write_csv(tmp_path / "x.csv", pd.DataFrame({"patient": ["007", ""], "width": [3, 4]}))
    table = artifacts.read_csv(tmp_path / "x.csv", text=("patient", "absent"))
    assert table["patient"].tolist() == ["007", ""]
    assert table["width"].tolist() == [3, 4]


def test_tensor_metadata_round_trip(tmp_path):
    artifacts.write_tensors(tmp_path / "x.safetensors", {"w": torch.ones(2)}, {"name": "lite0"})
    assert artifacts.read_tensors(tmp_path / "x.safetensors")[1] == {"name": "lite0"}


ROWS = [
    {"name": 'a "quoted", é', "p": 0.1 + 0.2, "n": 3, "sure": True, "grade": None, "why": "one\ntwo"},
    {"name": "x" * 120, "p": 1e-17, "n": -1, "sure": False, "grade": "HGG", "why": ""},
]


def test_rows_written_one_by_one_are_the_same_bytes(tmp_path):
    artifacts.write_json(tmp_path / "whole.json", {"model": {"b": [1]}, "rows": ROWS})
    artifacts.write_json(tmp_path / "rows.json", {"rows": iter(ROWS), "model": {"b": [1]}})
    assert (tmp_path / "rows.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    artifacts.write_csv(tmp_path / "whole.csv", pd.DataFrame(ROWS))
    artifacts.write_csv_rows(tmp_path / "rows.csv", iter(ROWS))
    assert (tmp_path / "rows.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        artifacts.write_json(tmp_path / "nan.json", {"rows": iter([*ROWS, {"p": float("nan")}])})
    assert not (tmp_path / "nan.json").exists()
