"""State of an unfinished training run, kept outside DVC's outputs and found again only by the very same run.

DVC deletes a stage's outputs before it starts, and a persisted output would resume under changed parameters. So the
state lives under `.btlib/resume/<stage>/`, named by a hash of everything the run depends on, and goes when it ends.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from btlib.artifacts import read_tensors, write_tensors

ROOT = Path(".btlib/resume")
PACKAGE = Path(__file__).parents[1]
CODE = ("nets", "losses", "training")


class ResumeState:
    """One file per run; `save` replaces it atomically, so a kill leaves either the old or the new state."""

    def __init__(self, stage: str, run_hash: str, root: Path = ROOT):
        self.path = root / stage / f"{run_hash}.safetensors"

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """(tensors, plain values), or None when there is nothing to resume.

        Raises:
            InputError: the file is damaged.
        """
        if not self.path.exists():
            return None
        tensors, metadata = read_tensors(self.path)
        return tensors, json.loads(metadata["state"])

    def save(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        write_tensors(self.path, tensors, {"state": json.dumps(state)})

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)


def run_hash(settings: Any, arrays: Iterable[np.ndarray], files: Iterable[Path]) -> str:
    """A hash of the settings (by repr), the data, the input files and the code that trains."""
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
    for array in map(np.atleast_1d, arrays):
        digest.update(str((array.shape, array.dtype)).encode())
        for block in np.array_split(array, max(1, array.nbytes // 2**26)):
            digest.update(np.ascontiguousarray(block).data)
    code = [path for folder in CODE for path in (PACKAGE / folder).glob("*.py")]
    for path in [*sorted(files), *sorted(code)]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
