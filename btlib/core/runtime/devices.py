"""Device, precision and processes through Lightning Fabric."""

import torch
from lightning_fabric import Fabric

from btlib.core.runtime.memory import keep_freed_memory
from btlib.core.runtime.reproducibility import deterministic_torch

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
