"""Keeps freed memory in the process instead of returning it to the kernel after each step."""

import ctypes

# Parameters of glibc's mallopt (malloc.h).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
PAD = 64 * 2**20  # bytes, smallest growth of the heap


def keep_freed_memory() -> None:
    """Stops glibc from unmapping freed memory, since every training step allocates the same large blocks again.

    By default glibc unmaps each of them, and the kernel then clears every page again, which took a third of a training
    step of the joint network on two cores. Results do not change; peak memory grows by a few per cent, and freed memory
    is kept until the process ends. Does nothing with other C libraries (macOS, Windows, musl).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such function or library
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)
    mallopt(M_TOP_PAD, PAD)
