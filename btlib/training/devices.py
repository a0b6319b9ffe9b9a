"""Device, precision and processes through Lightning Fabric."""

import ctypes
import platform

import torch
from lightning_fabric import Fabric

from btlib.reproducibility import deterministic_torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from glibc's malloc.h
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}


def make_fabric(devices: int, precision: str) -> Fabric:
    """A launched Fabric on the GPU if there is one, else the CPU.

    Args:
        devices: processes that share each batch (one per GPU; over gloo on a CPU).
        precision: 'fp32', 'bf16', or 'auto': bf16 on CUDA only, since most CPUs emulate it slowly.
    """
    deterministic_torch()
    keep_freed_memory()
    cuda = torch.cuda.is_available()
    if precision == "auto":
        precision = "bf16" if cuda else "fp32"
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        precision=PRECISIONS[precision],
    )
    fabric.launch()
    return fabric


def keep_freed_memory() -> None:
    """Tells glibc to keep freed memory for the next step instead of giving it back to the system.

    Every step allocates the same large activations, which otherwise come back page by page. On a busy 2-core CPU the
    forward pass took 0.5 to 0.8 of the time with it; for training no clear gain was seen. Elsewhere than on glibc this
    does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
