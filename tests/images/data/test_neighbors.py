import tracemalloc

import networkx
import numpy as np
import pytest

from btlib.images.data import neighbors
from btlib.images.data.neighbors import components, near_pairs, near_pairs_between, nearest, spread


def related_hashes(count: int) -> np.ndarray:
    """Random hashes; the second half are copies of the first with 0 to 19 flipped bits."""
    rng = np.random.default_rng(count)
    words = rng.integers(0, 2**64, (count, 4), dtype=np.uint64)
    words[count // 2 :] = words[: count - count // 2]
    for row in range(count // 2, count):
        for bit in rng.integers(0, 256, rng.integers(0, 20)):
            words[row, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return words


def distances(words: np.ndarray) -> np.ndarray:
    bits = np.unpackbits(words.view(np.uint8), axis=1).astype(int)
    return (bits[:, None, :] != bits[None, :, :]).sum(axis=2)


def as_set(pairs) -> list[tuple[int, int]]:
    return sorted(tuple(sorted((int(a), int(b)))) for i, j in pairs for a, b in zip(i, j, strict=True))


@pytest.mark.parametrize("distance", [0, 5, 12, 64, 256])
def test_pairs_equal_brute_force(distance, monkeypatch):
    monkeypatch.setattr(neighbors, "ROWS", 64)
    monkeypatch.setattr(neighbors, "COLUMNS", 100)
    words = related_hashes(300)
    expected = sorted(zip(*np.nonzero(np.triu(distances(words) <= distance, 1)), strict=True))
    assert as_set(near_pairs(words, distance)) == expected
    assert len(expected) > 5


@pytest.mark.parametrize("distance", [0, 5, 12, 64, 256])
def test_pairs_between_two_sets_equal_brute_force(distance, monkeypatch):
    monkeypatch.setattr(neighbors, "ROWS", 64)
    monkeypatch.setattr(neighbors, "COLUMNS", 100)
    words = related_hashes(400)
    order = np.random.default_rng(0).permutation(400)
    one, other = words[order[:150]], words[order[150:]]
    bits = [np.unpackbits(part.view(np.uint8), axis=1).astype(int) for part in (one, other)]
    apart = (bits[0][:, None] != bits[1][None]).sum(axis=2)
    expected = sorted(zip(*np.nonzero(apart <= distance), strict=True))
    found = near_pairs_between(one, other, distance)
    assert sorted((a, b) for i, j in found for a, b in zip(i.tolist(), j.tolist(), strict=True)) == expected
    assert len(expected) > 2


@pytest.mark.parametrize("most", [1, 3, 150])
def test_nearest_equal_brute_force(most, monkeypatch):
    monkeypatch.setattr(neighbors, "ROWS", 10)
    monkeypatch.setattr(neighbors, "COLUMNS", 100)  # six rows at a time
    words = related_hashes(200)
    order = np.random.default_rng(0).permutation(200)
    one, others = words[order[:50]], words[order[50:]]
    bits = [np.unpackbits(part.view(np.uint8), axis=1).astype(int) for part in (one, others)]
    apart = (bits[0][:, None] != bits[1][None]).sum(axis=2)
    found, distances = nearest(one, others, most)
    assert found.shape == distances.shape == (50, most)
    assert all(len(set(row)) == most for row in found.tolist())
    assert np.array_equal(distances, np.take_along_axis(apart, found, axis=1))
    assert np.array_equal(np.sort(distances, axis=1), np.sort(apart, axis=1)[:, :most])
    assert distances.min() < 20 < distances.max()


def test_hashes_differing_in_every_bit():
    none, every = np.zeros((1, 4), np.uint64), np.full((1, 4), 2**64 - 1, dtype=np.uint64)
    assert [part.tolist() for part in nearest(none, every, 1)] == [[[0]], [[256]]]


def test_nearly_blank_hashes_are_compared():
    words = np.zeros((50, 4), np.uint64)
    words[:, 1] = np.arange(50)
    expected = sorted(zip(*np.nonzero(np.triu(distances(words) <= 2, 1)), strict=True))
    assert as_set(near_pairs(words, 2)) == expected


def test_components_equal_networkx_for_any_merging_of_edges(monkeypatch):
    rng = np.random.default_rng(0)
    blocks = [(rng.integers(0, 200, 15), rng.integers(0, 200, 15)) for _ in range(8)]
    graph = networkx.Graph()
    graph.add_nodes_from(range(200))
    graph.add_edges_from((a, b) for i, j in blocks for a, b in zip(i, j, strict=True))
    whole = components(200, iter(blocks))
    monkeypatch.setattr(neighbors, "MAX_EDGES", 20)
    assert np.array_equal(components(200, iter(blocks)), whole)
    expected = {frozenset(part) for part in networkx.connected_components(graph)}
    assert {frozenset(np.flatnonzero(whole == k)) for k in range(whole.max() + 1)} == expected


def test_components_are_numbered_by_first_appearance():
    assert components(5, iter([(np.array([1]), np.array([4]))])).tolist() == [0, 1, 2, 3, 1]
    assert components(3, iter([])).tolist() == [0, 1, 2]


def test_spread_reaches_only_direct_neighbors():
    words = np.zeros((3, 4), np.uint64)
    words[1, 0], words[2, 0] = 0b11, 0b1111  # a chain: 0 –2– 1 –2– 2
    marks = np.array([[True, False], [False, False], [False, True]])
    assert spread(near_pairs(words, 2), marks).tolist() == [[False, False], [True, True], [False, False]]
    assert marks.tolist() == [[True, False], [False, False], [False, True]]


def test_many_hashes_need_no_matrix():
    rng = np.random.default_rng(1)
    words = rng.integers(0, 2**64, (12_000, 4), dtype=np.uint64)
    tracemalloc.start()
    numbers = components(len(words), near_pairs(words, 12))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert numbers.max() == len(words) - 1
    assert peak < 40e6  # a bit matrix would need 144 MB
