"""Tissues of the phantom, and their mixtures."""

import numpy as np

TISSUES = (
    "air",
    "skin",
    "fat",
    "muscle",
    "mucosa",
    "bone",
    "marrow",
    "dura",
    "blood",
    "vitreous",
    "csf",
    "gm",
    "wm",
    "gland",
    "edema",
    "necrosis",
    "tumor",
    "enhancing",
)
INDEX = {name: i for i, name in enumerate(TISSUES)}
LESION = [INDEX[name] for name in ("edema", "necrosis", "tumor", "enhancing")]
OUTSIDE_BRAIN = [INDEX[name] for name in ("air", "skin", "fat", "muscle", "mucosa", "bone", "marrow", "vitreous")]


def ramp(distance: np.ndarray, width: float = 1.0) -> np.ndarray:
    """Partial volume for a signed distance in mm: 1 inside (negative), 0 outside, linear over `width` around 0."""
    return np.clip(0.5 - distance / width, 0, 1).astype(np.float32)


class Mixture:
    """Tissue fractions [N, T] of N points, each row summing to 1; initially air, then painted over."""

    def __init__(self, points: int) -> None:
        self.fractions = np.zeros((points, len(TISSUES)), np.float32)
        self.fractions[:, INDEX["air"]] = 1

    def paint(self, tissue: str, cover: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Paints `tissue` over the present mixture.

        Args:
            cover: [N] (or [len(rows)]) opacity in 0..1.
            rows: indices of the points to paint; all by default.
        """
        hit = np.flatnonzero(cover)
        rows = hit if rows is None else rows[hit]
        opacity = cover[hit].astype(np.float32)
        mixed = self.fractions.take(rows, axis=0)
        mixed *= 1 - opacity[:, None]
        mixed[:, INDEX[tissue]] += opacity
        self.fractions[rows] = mixed
