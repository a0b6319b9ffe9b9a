import nibabel as nib
import numpy as np
import pytest

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.grid import check_grid, corners_apart, differences, same_grid

SHAPE = (200, 200, 30)
THICK = np.diag([1.0, 1, 5.5, 1])


def changed(row: int, column: int, by: float) -> np.ndarray:
    affine = THICK.copy()
    affine[row, column] += by
    return affine


def test_same_grid():
    assert same_grid(SHAPE, THICK, SHAPE, THICK) and same_grid(SHAPE, THICK, SHAPE, changed(0, 3, 1e-3))
    assert not same_grid(SHAPE, THICK, SHAPE, changed(2, 3, 1))
    assert not same_grid(SHAPE, THICK, SHAPE, changed(0, 0, 1e-2))  # 2 mm at the far end
    assert not same_grid(SHAPE, THICK, (200, 200, 29), THICK)
    assert corners_apart(SHAPE, THICK, changed(0, 0, 1e-2)) == pytest.approx(1.99)


@pytest.mark.parametrize(
    ("shape", "affine", "words"),
    [
        ((200, 190, 30), THICK, "200×190×30 voxels, not 200×200×30"),
        (SHAPE, changed(0, 0, 0.01), "voxels of 1.01×1×5.5 mm, not 1×1×5.5"),
        (SHAPE, np.diag([-1.0, -1, 5.5, 1]), "axes LPS, not RAS"),
        (SHAPE, changed(1, 3, -7.25), "origin (0.0, -7.2, 0.0) mm, not (0.0, 0.0, 0.0)"),
        (
            SHAPE,
            changed(2, 3, 2) * [[1], [1], [1.5], [1]],
            "voxels of 1×1×8.25 mm, not 1×1×5.5; origin (0.0, 0.0, 3.0) mm, not (0.0, 0.0, 0.0)",
        ),
        (SHAPE, nib.affines.from_matvec(nib.eulerangles.euler2mat(0.01)) @ THICK, "its corners are up to 2.81 mm off"),
    ],
)
def test_only_differences_are_listed(shape, affine, words):
    assert differences(shape, affine, SHAPE, THICK) == words


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((8, 90), np.eye(4), "8×90 voxels, expected a volume of at least 8 on each side"),
        ((24, 15, 2), np.eye(4), "24×15×2 voxels, expected a volume of at least 8 on each side"),
        ((420, 420, 420), np.eye(4), r"420×420×420 voxels by its header, more than the 67,108,864 allowed"),
        (
            (64, 64, 64),
            np.diag([12.0, 12, 12, 1]),
            r"768×768×768 mm wide by its header \(64×64×64 voxels of 12×12×12 mm\)",
        ),
        ((100, 100, 401), np.eye(4), r"100×100×401 mm wide .* no head is wider than 400 mm; are its lengths in mm\?"),
        ((64, 64, 64), np.diag([1e-3, 1e-3, 1e-3, 1]), r"voxels of 0.001×0.001×0.001 mm .* are its lengths in mm\?"),
        ((64, 64, 64), np.diag([1, 1, 25.0, 1]), r"voxels of 1×1×25 mm by its header, expected 0.1 to 20.0 mm"),
        ((64, 64, 64), np.diag([1, np.nan, 1, 1]), "the position in its header is NaN or infinite"),
        (
            (64, 64, 64),
            np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
            "two axes .* are parallel",
        ),
    ],
)
def test_impossible_grids_of_a_head(shape, affine, message):
    with pytest.raises(InputError, match=f"^a.nii: .*{message}"):
        check_grid("a.nii", shape, affine)


def test_the_largest_grids_of_a_head():
    check_grid("a.nii", (400, 400, 400), np.eye(4))
    check_grid("a.nii", (512, 512, 256), np.diag([0.5, 0.5, 0.8, 1]))
    check_grid("a.nii", (8, 8, 8), np.diag([20.0, 20, 20, 1]))
