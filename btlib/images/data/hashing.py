"""Fingerprints of decoded images: one for identical pixels, one for similar appearance."""

import hashlib

import cv2
import numpy as np

HASH_SIDE = 16


def pixel_sha256(image: np.ndarray) -> str:
    """SHA-256 of shape and pixels of uint8 [H, W, 3], as 64 hex digits; the same for losslessly re-saved images."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def difference_hash(image: np.ndarray) -> str:
    """256-bit difference hash: is each of 16 × 16 cells darker than its right neighbour?

    Robust to re-encoding, resizing and changes of brightness or contrast, since it uses only the order of neighbours.

    Args:
        image: uint8 [H, W, 3].

    Returns:
        64 hex digits, row by row, most significant bit first.
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(gray, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA)
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes().hex()


def turned_hashes(image: np.ndarray) -> str:
    """`difference_hash` of the image's seven other orientations, concatenated: 448 hex digits.

    Public sets contain mirrored and rotated copies of their images, whose hashes differ from the original's. The hash
    of a mirrored image cannot be derived from that of the image: for equal neighbours, as in a black background, both
    are "not darker".
    """
    return "".join(difference_hash(np.ascontiguousarray(turned)) for turned in orientations(image)[1:])


def orientations(image: np.ndarray) -> list[np.ndarray]:
    """The four rotations of the image [H, W, …] by 90°, then those of its mirror image: eight views."""
    return [np.rot90(start, turns) for start in (image, image[:, ::-1]) for turns in range(4)]


def hash_words(hashes: list[str]) -> np.ndarray:
    """Hexadecimal hashes of 64 digits as uint64 [N, 4]; k concatenated hashes per item as [N·k, 4]."""
    raw = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=">u8")
    return raw.reshape(-1, 4).astype(np.uint64)
