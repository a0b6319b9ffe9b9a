"""Randomness keyed by purpose, and a record of the environment of a result."""

import hashlib
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import NamedTuple

import numpy as np

RECORDED = ("torch", "timm", "monai", "numpy", "scikit-learn", "opencv-python-headless", "dvc")

_DRAWING = threading.RLock()


def keyed_seed(*key: object) -> int:
    """A 63-bit seed that depends on every part of `key` and on nothing else.

    `keyed_seed(seed, "mixup", epoch, step)` gives each draw its own stream, so that a resumed run draws the same
    numbers as an uninterrupted one, and an additional draw changes no other.
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def keyed_rng(*key: object) -> np.random.Generator:
    """A NumPy generator seeded by `keyed_seed`."""
    return np.random.default_rng(keyed_seed(*key))


@contextmanager
def keyed_layers(*key: object) -> Iterator[None]:
    """Layers created in the block draw their initial weights by `keyed_seed`.

    They use PyTorch's global generator, whose state is restored afterwards; threads wait for each other.
    """
    import torch

    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed(*key))
        yield


def deterministic_torch() -> None:
    """Makes PyTorch choose deterministic kernels and refuse TF32, so that a seed fixes the numbers."""
    import os

    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling every new tensor with NaN is a debugging aid that costs time in each step.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


class TorchSettings(NamedTuple):
    """What `deterministic_torch` changes."""

    deterministic: bool
    benchmark: bool
    matmul_tf32: bool
    convolution_tf32: bool


def torch_settings() -> TorchSettings:
    """Those of this process."""
    import torch

    backends = torch.backends
    return TorchSettings(
        torch.are_deterministic_algorithms_enabled(),
        backends.cudnn.benchmark,
        backends.cuda.matmul.allow_tf32,
        backends.cudnn.allow_tf32,
    )


def set_torch(settings: TorchSettings) -> None:
    """Gives this process the settings of another one."""
    import torch

    deterministic_torch()
    torch.use_deterministic_algorithms(settings.deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = settings.benchmark
    torch.backends.cuda.matmul.allow_tf32 = settings.matmul_tf32
    torch.backends.cudnn.allow_tf32 = settings.convolution_tf32


def environment() -> dict[str, str]:
    """Python, platform and package versions; no host or user name."""
    record = {"python": sys.version.split()[0], "platform": f"{platform.system()} {platform.machine()}"}
    installed = {d.metadata["Name"].lower() for d in metadata.distributions() if d.metadata["Name"]}
    return record | {name: metadata.version(name) for name in RECORDED if name in installed}
