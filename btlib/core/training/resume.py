"""State of an unfinished training run, kept outside DVC's outputs and restored only by the identical run.

DVC deletes a stage's outputs before it starts, and a persisted output would resume under changed parameters. The state
is therefore kept under `.btlib/resume/<stage>/`, named by a hash of everything the run depends on, and deleted when the
run ends. It has a checksum, since a single flipped bit would otherwise silently change the network.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from btlib.core.runtime.artifacts import read_tensors, write_tensors
from btlib.core.runtime.errors import brief
from btlib.core.training.arms import Progress

ROOT = Path(".btlib/resume")
PACKAGE = Path(__file__).parents[2]
CODE = ("core/training", "images/nets", "images/training", "volumes/nets", "volumes/training")


class SavedArm(BaseModel):
    """Result of `Arm.plain_state` and argument of `Arm.load_state`."""

    steps: int = Field(ge=0)
    failed: str
    readouts: list[Progress]


class SavedRun(BaseModel):
    """Progress of a run: the epoch to continue with, and its arms."""

    epoch: int = Field(ge=0)
    arms: list[SavedArm]


class ResumeState:
    """One file per run; `save` replaces it atomically, so a kill leaves either the old or the new state."""

    def __init__(self, stage: str, run_hash: str, root: Path = ROOT):
        self.path = root / stage / f"{run_hash}.safetensors"

    def load(self) -> tuple[dict[str, Tensor], SavedRun] | None:
        """(tensors, plain values), or None if there is nothing to resume.

        A damaged file is removed with a printed remark.
        """
        if not self.path.exists():
            return None
        try:
            tensors, metadata = read_tensors(self.path)
            if metadata["checksum"] != _checksum(tensors, metadata["state"]):
                raise ValueError("its checksum does not match")
            return tensors, SavedRun.model_validate(json.loads(metadata["state"]))
        except (ValueError, KeyError) as error:
            self.delete()
            print(f"{self.path}: damaged ({brief(error)}); it was removed, and training starts over", flush=True)
            return None

    def save(self, tensors: dict[str, Tensor], run: SavedRun) -> None:
        tensors = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
        state = json.dumps(run.model_dump())  # with infinity, the best loss before the first epoch
        write_tensors(self.path, tensors, {"state": state, "checksum": _checksum(tensors, state)})

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)


def _checksum(tensors: dict[str, Tensor], state: str) -> str:
    """A hash of everything returned by `load`."""
    digest = hashlib.blake2b(state.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def run_hash(settings: Any, arrays: Iterable[np.ndarray], files: Iterable[Path]) -> str:
    """A hash of the settings (by repr), the data, the input files and the training code."""
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
