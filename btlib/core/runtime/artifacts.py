"""Atomic file output: every file is written under a temporary name, then renamed.

A killed run or a full disk therefore never leaves a half-written file for a later stage.
"""

import csv
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import psutil

from btlib.core.runtime.errors import InputError, brief, guarded

FULL_DISK = {errno.ENOSPC, errno.EDQUOT}
# NumPy and safetensors report a full disk without an errno
FULL_DISK_MESSAGE = re.compile(rf"\d+ requested and \d+ written|\(os error ({errno.ENOSPC}|{errno.EDQUOT})\)")
PARTIAL = re.compile(r"\..+?(\.(?P<process>\d+))?\.partial")
JSON_WIDTH = 100  # columns
JSON_BYTES = 64 * 2**20  # far more than any output here; parsing takes many times that memory
RECREATE = "delete it and run `dvc repro` again"

UNFINISHED: set[Path] = set()  # folders that this process is writing to, removed if it is stopped


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it to `path` if the block succeeds.

    The block may write a file or make a folder there. On any error the temporary is removed and `path` is left
    unchanged. Leftovers of a killed run are removed first.

    Raises:
        InputError: no space is left on the device, or `path` cannot be written: a read-only folder, a file in place of
            a folder or vice versa, a name that is too long.
    """
    path = Path(path)
    holder = None
    try:
        holder = _make_holder(path)
        UNFINISHED.add(holder)
        temporary = holder / path.name
        yield temporary
        _sync(temporary)
        if path.is_dir() and temporary.is_dir():
            path.rename(holder / f"{path.name}.old")  # removed with its holder, so that nobody sees half of it
        temporary.replace(path)
    except Exception as error:
        reason = _unwritable(error, path, holder)
        if reason:
            raise InputError(f"{path}: {reason}") from error
        raise
    finally:
        if holder:
            shutil.rmtree(holder, ignore_errors=True)
            UNFINISHED.discard(holder)


def is_left_behind(folder: Path) -> bool:
    """Whether a folder is an unfinished output of a process that is no longer running."""
    found = PARTIAL.fullmatch(folder.name)
    return bool(found) and not (found["process"] and psutil.pid_exists(int(found["process"])))


def _make_holder(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    for other in path.parent.glob(f".{escape(path.name)}*.partial"):
        if is_left_behind(other):
            shutil.rmtree(other, ignore_errors=True)
    holder = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(holder, ignore_errors=True)
    holder.mkdir()
    return holder


def _unwritable(error: Exception, path: Path, holder: Path | None) -> str | None:
    """Why `path` cannot be written, and a remedy; None for an error unrelated to writing it."""
    if getattr(error, "errno", None) in FULL_DISK or FULL_DISK_MESSAGE.search(str(error)):
        return (
            "no space left on the device while writing; nothing was changed. "
            "Free some space (for example with `dvc gc --workspace`) and run the same command again."
        )
    where = str(getattr(error, "filename", ""))
    from_block = holder and (isinstance(error, FileNotFoundError) or not where.startswith((str(holder), str(path))))
    if from_block or not isinstance(error, OSError | ValueError):
        return None
    reason = brief(getattr(error, "strerror", None) or error)
    return f"cannot be written ({reason}); nothing was changed. Choose another folder, or change its permissions."


def _sync(path: Path) -> None:
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def write_synced(path: Path, content: bytes) -> None:
    """Writes a file in place and waits until it is stored: for folders of so many files that `atomic_path`, which looks
    for leftovers in the folder, would be slow. If the process is killed meanwhile, half a file is left behind."""
    path.write_bytes(content)
    _sync(path)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON with sorted keys, wrapping only what does not fit on a line; refuses NaN and infinity.

    An iterator, as the value of a mapping, is written as a list item by item, so that it need not fit into memory.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(_wrapped(value, ""))
        file.write("\n")


def _wrapped(value: Any, indent: str) -> Iterator[str]:
    mapping = isinstance(value, Mapping)
    if not isinstance(value, Iterator) and not (mapping and any(isinstance(one, Iterator) for one in value.values())):
        text = json.dumps(value, sort_keys=True, allow_nan=False)
        if len(indent) + len(text) <= JSON_WIDTH or not isinstance(value, Mapping | list | tuple):
            yield text
            return
    deeper = f"{indent}  "
    yield "{" if mapping else "["
    for number, item in enumerate(sorted(value) if mapping else value):
        yield f"{',' * bool(number)}\n{deeper}" + (f"{json.dumps(str(item))}: " if mapping else "")
        yield from _wrapped(value[item] if mapping else item, deeper)
    yield f"\n{indent}{'}' if mapping else ']'}"


def read_json(path: Path) -> Any:
    """Reads a JSON file. Raises InputError when it is missing, larger than any output, or not JSON."""
    path = _existing(path)
    with guarded(str(path), "JSON file", RECREATE):
        if path.stat().st_size > JSON_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes, expected at most {JSON_BYTES}")
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, which is not valid JSON")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes a table without its index; floats keep full precision."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def write_csv_rows(path: Path, rows: Iterator[Mapping[str, Any]]) -> None:
    """Writes at least one row as `write_csv` would, row by row, so that the table need not fit into memory."""
    first = next(rows)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(first), lineterminator=os.linesep)
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(rows)


def read_csv(path: Path, text: tuple[str, ...] = ()) -> pd.DataFrame:
    """Reads a table written by `write_csv`; the columns in `text` stay strings, empty cells there become ''."""
    path = _existing(path)
    with guarded(str(path), "CSV table", RECREATE):
        table = pd.read_csv(path, dtype=dict.fromkeys(text, str), float_precision="round_trip")
    present = [name for name in text if name in table.columns]
    return table.fillna(dict.fromkeys(present, ""))


def read_array(path: Path) -> np.ndarray:
    """Opens an .npy file memory-mapped and read-only. Raises InputError when it is missing or truncated."""
    path = _existing(path)
    with guarded(str(path), ".npy array", RECREATE):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def write_figure(path: Path, figure: Any, area: Any = None) -> None:
    """Writes a matplotlib figure as PNG; the same figure gives the same bytes.

    Args:
        area: the part of the plane to write, a matplotlib Bbox in inches; the figure itself by default.
    """
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, bbox_inches=area, metadata={"Software": None})


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors as safetensors (never a pickle), with string metadata."""
    from safetensors.torch import save_file

    with atomic_path(path) as temporary:
        save_file({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}, temporary, metadata)


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Reads (tensors, metadata) from a safetensors file. Raises InputError when it is missing or truncated."""
    from safetensors import safe_open

    path = _existing(path)
    with guarded(str(path), "safetensors file", RECREATE), safe_open(path, framework="pt") as handle:
        names = handle.keys()
        return {name: handle.get_tensor(name) for name in names}, handle.metadata() or {}


def sha256(path: Path) -> str:
    """SHA-256 of the file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _existing(path: Path) -> Path:
    path = Path(path)
    try:
        if path.is_file():
            path.open("rb").close()
            return path
    except (OSError, ValueError) as error:
        raise InputError(f"{brief(path)}: cannot be read ({brief(error)})") from error
    raise InputError(f"{path}: no such file; run `dvc repro` to create it or `dvc pull` to fetch it")
