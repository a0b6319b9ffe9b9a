"""A case for the viewer: eight bits per voxel, cropped to the head, as base64 NIfTI files."""

import base64
import gzip
from collections.abc import Mapping

import nibabel as nib
import numpy as np

from btlib.volumes.data.geometry import bounding_box, cropped

MARGIN = 3  # voxels around the head
MAX_SIDE = 256  # voxels; finer grids are subsampled by an integer step
PERCENTILES = (0.5, 99.5)  # of a scan's values inside the head, shown from black to white


def viewer_files(
    scans: Mapping[str, np.ndarray],
    labels: np.ndarray | None,
    maps: Mapping[str, np.ndarray | None],
    affine: np.ndarray,
) -> dict[str, dict[str, str]]:
    """Files for the viewer: `scans` and `overlays`, each name -> gzipped NIfTI in base64, all on one grid.

    Args:
        scans: [X, Y, Z] of each modality, 0 outside the head.
        labels: uint8 [X, Y, Z] segmentation, or None.
        maps: [X, Y, Z] in 0 … 1, or None if unavailable; shown inside the head.
        affine: [4, 4] of the grid.
    """
    head = np.any([values != 0 for values in scans.values()], axis=0)
    box = _shown(head)
    affine = cropped(affine, box) @ np.diag([*(side.step for side in box), 1])
    overlays = {"segmentation": labels} | {
        name: None if values is None else np.uint8(np.round(255 * values.clip(0, 1) * head))
        for name, values in maps.items()
    }
    return {
        "scans": {name: _file(_gray(values[box]), affine) for name, values in scans.items()},
        "overlays": {name: _file(values[box], affine) for name, values in overlays.items() if values is not None},
    }


def tumor_center(labels: np.ndarray | None, affine: np.ndarray) -> list[float] | None:
    """Initial crosshair position in mm: the labelled voxel nearest to the tumour's centroid. None without a tumour."""
    if labels is None or not labels.any():
        return None
    voxels = np.argwhere(labels)
    nearest = voxels[np.linalg.norm(voxels - voxels.mean(axis=0), axis=1).argmin()]
    return nib.affines.apply_affine(affine, nearest).tolist()


def _shown(head: np.ndarray) -> tuple[slice, ...]:
    """A box around the head, with a step if the grid is finer than MAX_SIDE."""
    box = bounding_box(head)
    starts = [max(0, side.start - MARGIN) for side in box]
    stops = [min(size, side.stop + MARGIN) for size, side in zip(head.shape, box, strict=True)]
    step = max(-(-(stop - start) // MAX_SIDE) for start, stop in zip(starts, stops, strict=True))
    return tuple(slice(start, stop, step) for start, stop in zip(starts, stops, strict=True))


def _gray(scan: np.ndarray) -> np.ndarray:
    """uint8: values between PERCENTILES mapped to 0 … 255; 0 stays 0."""
    low, high = np.percentile(scan[scan != 0], PERCENTILES) if scan.any() else (0, 1)
    shown = ((scan - low) / max(high - low, np.finfo(np.float32).tiny)).clip(0, 1)
    return np.where(scan == 0, 0, np.round(255 * shown)).astype(np.uint8)


def _file(values: np.ndarray, affine: np.ndarray) -> str:
    image = nib.Nifti1Image(np.ascontiguousarray(values), affine)
    return base64.b64encode(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)).decode()
