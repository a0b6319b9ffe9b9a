"""Fingerprints of decoded images: one for equal pixels, one for pictures that look the same."""

import hashlib

import cv2
import numpy as np

HASH_SIDE = 16


def pixel_sha256(image: np.ndarray) -> str:
    """SHA-256 of the shape and the pixels, so that re-saved but equal images share it. uint8 [H, W, 3] -> 64 hex."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def difference_hash(image: np.ndarray) -> str:
    """256-bit difference hash: is each of 16 × 16 cells darker than its right neighbour?

    Survives re-encoding, resizing and changes of brightness or contrast, since only the order of neighbours counts.

    Args:
        image: uint8 [H, W, 3].

    Returns:
        64 hex digits, row by row, most significant bit first.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(grey, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA)
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes().hex()


def hash_words(hashes: list[str]) -> np.ndarray:
    """64-digit hexadecimal hashes as uint64 [N, 4]."""
    raw = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=">u8")
    return raw.reshape(len(hashes), 4).astype(np.uint64)
