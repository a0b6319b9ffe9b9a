"""Keeps freed memory in the process instead of handing it back to the kernel after each step."""

import ctypes

# Parameters of glibc's mallopt (malloc.h).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
PAD = 64 * 2**20  # bytes by which the heap grows at least


def keep_freed_memory() -> None:
    """A training step frees and asks for the same large blocks again.

    glibc by default unmaps each of them, and the kernel then clears every page anew, which took a third of a training
    step of the joint network on two cores. Changes no number; the peak of the memory grows by a few per cent, and what
    was freed is kept until the process ends. Does nothing with another C library (macOS, Windows, musl).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such function, or no library by that name
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)
    mallopt(M_TOP_PAD, PAD)
