"""Files that are either whole or absent: every output is written beside its place, then renamed.

A killed run or a full disk therefore never leaves a half-written file that a later stage takes for good.
"""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from btlib.errors import InputError

FULL_DISK = {errno.ENOSPC, errno.EDQUOT}
# NumPy and safetensors report a full disk without an errno
FULL_DISK_MESSAGE = re.compile(rf"\d+ requested and \d+ written|\(os error ({errno.ENOSPC}|{errno.EDQUOT})\)")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it onto `path` when the block succeeds.

    The block may write a file or make a folder there. On any error the temporary is removed and `path` is left
    as it was. What a killed run left there is removed first.

    Raises:
        InputError: no space is left on the device.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = path.with_name(f".{path.name}.partial")
    shutil.rmtree(holder, ignore_errors=True)
    holder.mkdir()
    temporary = holder / path.name
    try:
        yield temporary
        _sync(temporary)
        if path.is_dir() and temporary.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except Exception as error:
        if getattr(error, "errno", None) in FULL_DISK or FULL_DISK_MESSAGE.search(str(error)):
            raise InputError(
                f"{path}: no space left on the device while writing; nothing was changed. "
                "Free some space (for example with `dvc gc --workspace`) and run the same command again."
            ) from error
        raise
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _sync(path: Path) -> None:
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def write_json(path: Path, value: Any) -> None:
    """Writes JSON with sorted keys; NaN and infinity are refused, since JSON has neither."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Reads a JSON file. Raises InputError when it is missing or not JSON."""
    try:
        return json.loads(_existing(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); delete it and run `dvc repro` again") from error


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes a table without its index; floats keep full precision."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def read_csv(path: Path, text: tuple[str, ...] = ()) -> pd.DataFrame:
    """Reads a table written by `write_csv`; the columns in `text` stay strings, empty cells there become ''."""
    try:
        table = pd.read_csv(_existing(path), dtype=dict.fromkeys(text, str), float_precision="round_trip")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable CSV table ({error})") from error
    present = [name for name in text if name in table.columns]
    return table.fillna(dict.fromkeys(present, ""))


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes one array as .npy."""
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, array, allow_pickle=False)


def read_array(path: Path) -> np.ndarray:
    """Opens an .npy file memory-mapped and read-only. Raises InputError when it is missing or cut short."""
    try:
        return np.load(_existing(path), mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: not a whole .npy array ({error}); delete it and run `dvc repro` again") from error


def write_figure(path: Path, figure: Any) -> None:
    """Writes a matplotlib figure as PNG in its own size; the same figure gives the same bytes."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors as safetensors (never a pickle), with string metadata."""
    from safetensors.torch import save_file

    with atomic_path(path) as temporary:
        save_file({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}, temporary, metadata)


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Reads (tensors, metadata) from a safetensors file. Raises InputError when it is missing or cut short."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(_existing(path), framework="pt") as handle:
            names = handle.keys()
            return {name: handle.get_tensor(name) for name in names}, handle.metadata() or {}
    except SafetensorError as error:
        raise InputError(
            f"{path}: not a whole safetensors file ({error}); delete it and run `dvc repro` again"
        ) from error


def _existing(path: Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `dvc repro` (or `dvc pull`) to make it")
    return path
