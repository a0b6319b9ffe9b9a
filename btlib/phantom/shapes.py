"""Signed distances in mm (negative inside) of a few solids, at points [N, 3]."""

import numpy as np


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors))


def ellipsoid(points: np.ndarray, centre: tuple, radii: tuple) -> np.ndarray:
    """Distance to an axis-aligned ellipsoid, first-order exact near its surface (Quilez, iquilezles.org)."""
    offset = points - np.asarray(centre, np.float32)
    scaled = offset / np.asarray(radii, np.float32)
    k0 = _length(scaled)
    scaled /= np.asarray(radii, np.float32)
    k1 = _length(scaled)
    scale = np.divide(k0, k1, out=np.full_like(k0, min(radii)), where=k1 > 1e-6)  # 0 / 0 at the very centre
    return (k0 - 1) * scale


def capsule(points: np.ndarray, start: tuple, end: tuple, radius: float, end_radius: float | None = None) -> np.ndarray:
    """Distance to a rod with round ends whose radius runs from `radius` to `end_radius`."""
    first, axis = np.asarray(start, np.float32), np.asarray(end, np.float32) - np.asarray(start, np.float32)
    offset = points - first
    along = np.clip(offset @ axis / (axis @ axis), 0, 1)
    offset -= along[:, None] * axis
    last = radius if end_radius is None else end_radius
    return _length(offset) - (radius + (last - radius) * along)


def box(points: np.ndarray, centre: tuple, half: tuple, rounding: float = 2.0) -> np.ndarray:
    """Distance to an axis-aligned box with half sides `half` and rounded edges."""
    outside = np.abs(points - np.asarray(centre, np.float32)) - (np.asarray(half, np.float32) - rounding)
    beyond = np.maximum(outside, 0)
    return _length(beyond) + np.minimum(outside.max(1), 0) - rounding


def smooth_union(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """Union of two solids whose seam is rounded over about `blend` mm (polynomial smooth minimum)."""
    h = np.maximum(blend - np.abs(a - b), 0) / blend
    return np.minimum(a, b) - h * h * blend / 4


def mirrored(points: np.ndarray) -> np.ndarray:
    """The points folded onto the right half, so that one solid stands for a pair."""
    folded = points.copy()
    folded[:, 0] = np.abs(folded[:, 0])
    return folded
