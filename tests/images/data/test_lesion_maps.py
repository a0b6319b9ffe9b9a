import numpy as np

from btlib.images.data.lesion_maps import (
    FULL,
    UNKNOWN,
    lesion_map,
    map_size,
    map_without_outline,
    shrink_maps,
)


def test_a_cell_holds_its_share_of_the_lesion():
    mask = np.zeros((32, 32), bool)
    mask[:4, :4] = True  # one cell
    mask[4:8, 4:6] = True  # half of one
    found = lesion_map(mask, 32)
    assert (found.shape, found.dtype) == ((8, 8), np.uint8)
    assert found[0, 0] == FULL and found[1, 1] == FULL // 2 and found.sum() == FULL + FULL // 2
    assert np.array_equal(lesion_map(np.repeat(np.repeat(mask, 3, 0), 2, 1), 32), found)  # outlines of any size


def test_sizes():
    assert [map_size(size) for size in (96, 128, 50, 3)] == [24, 32, 12, 1]
    unknown, empty = map_without_outline("glioma", 50), map_without_outline("no_tumor", 50)
    assert unknown.shape == (12, 12) and (unknown == UNKNOWN).all() and not empty.any()


def test_smaller_maps_of_the_same_images():
    maps = np.stack(
        [
            lesion_map(np.ones((8, 8), bool), 32),
            map_without_outline("glioma", 32),
            lesion_map(np.zeros((8, 8), bool), 32),
        ]
    )
    maps[2, :2, :2] = FULL
    small = shrink_maps(maps, 16)
    assert small.shape == (3, 4, 4)
    assert (small[0] == FULL).all() and (small[1] == UNKNOWN).all()
    assert small[2, 0, 0] == FULL and small[2].sum() == FULL
    assert shrink_maps(maps[:0], 16).shape == (0, 4, 4)
