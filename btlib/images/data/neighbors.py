"""Finds near-duplicates among many 256-bit hashes, exactly and without an n × n matrix."""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

ROWS, COLUMNS = 512, 2048  # block of a million pairs, at most some tens of megabytes
MAX_EDGES = 4_000_000  # edges kept before they are merged into component numbers


def near_pairs(words: np.ndarray, distance: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields, block by block, index pairs (i, j), i ≠ j, whose Hamming distance is at most `distance`; each pair once.

    Two exact bounds save most of the work. The numbers of set bits of two near hashes differ by at most `distance`, so
    hashes are sorted by that number and compared only within this window. And the distance between the XORs of the
    hashes' four words is at most the full distance, so one word is compared first.

    Args:
        words: uint64 [N, 4].
        distance: bits, 0..256.
    """
    words, weight, order = _sort_by_weight(words)
    folded = np.bitwise_xor.reduce(words, axis=1)
    window_end = np.searchsorted(weight, weight + distance, side="right")
    for row in range(0, len(words), ROWS):
        rows = slice(row, min(row + ROWS, len(words)))
        for column in range(row, window_end[rows.stop - 1], COLUMNS):
            columns = slice(column, min(column + COLUMNS, window_end[rows.stop - 1]))
            i, j = np.nonzero(np.bitwise_count(folded[rows, None] ^ folded[None, columns]) <= distance)
            i, j = i + row, j + column
            i, j = i[i < j], j[i < j]
            near = np.bitwise_count(words[i] ^ words[j]).sum(axis=1, dtype=np.int64) <= distance
            if near.any():
                yield order[i[near]], order[j[near]]


def near_pairs_between(words: np.ndarray, others: np.ndarray, distance: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As `near_pairs`, but between `words` (i) and `others` (j): every pair at most `distance` bits apart.

    Args:
        words, others: uint64 [N, 4] and [M, 4].
        distance: bits, 0..256.
    """
    words, weight, order = _sort_by_weight(words)
    others, other_weight, other_order = _sort_by_weight(others)
    folded, other_folded = (np.bitwise_xor.reduce(hashes, axis=1) for hashes in (words, others))
    first = np.searchsorted(other_weight, weight - distance, side="left")
    end = np.searchsorted(other_weight, weight + distance, side="right")
    for row in range(0, len(words), ROWS):
        rows = slice(row, min(row + ROWS, len(words)))
        for column in range(first[row], end[rows.stop - 1], COLUMNS):
            columns = slice(column, min(column + COLUMNS, end[rows.stop - 1]))
            apart = np.bitwise_count(folded[rows, None] ^ other_folded[None, columns])
            i, j = np.nonzero(apart <= distance)
            i, j = i + row, j + column
            near = np.bitwise_count(words[i] ^ others[j]).sum(axis=1, dtype=np.int64) <= distance
            if near.any():
                yield order[i[near]], other_order[j[near]]


def nearest(words: np.ndarray, others: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The `most` nearest others of each hash, unordered, computed block by block.

    Args:
        words, others: uint64 [N, 4] and [M, 4].
        most: k, at most M.

    Returns:
        Their row numbers int [N, k] and Hamming distances int [N, k].
    """
    found = np.empty((len(words), most), dtype=np.int64)
    distances = np.empty((len(words), most), dtype=np.int64)
    rows = max(1, ROWS * COLUMNS // max(1, len(others)))
    for start in range(0, len(words), rows):
        block = slice(start, start + rows)
        apart = np.zeros((len(words[block]), len(others)), dtype=np.uint16)
        for k in range(words.shape[1]):
            apart += np.bitwise_count(words[block, k, None] ^ others[None, :, k])
        found[block] = np.argpartition(apart, most - 1, axis=1)[:, :most]
        distances[block] = np.take_along_axis(apart, found[block], axis=1)
    return found, distances


def _sort_by_weight(words: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The hashes sorted by their number of set bits, these numbers, and the order [N] that sorts them."""
    weight = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    order = np.argsort(weight, kind="stable")
    return words[order], weight[order], order


def components(count: int, edges: Iterator[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Connected components of a graph with edges in blocks: int [count], numbered by first appearance.

    Memory is bounded: every few million edges are merged into component numbers.
    """
    number = np.arange(count)
    held, total = [], 0
    for edge in edges:
        held.append(edge)
        total += len(edge[0])
        if total >= MAX_EDGES:
            number, held, total = _merge(number, held), [], 0
    return _renumber_by_first_appearance(_merge(number, held))


def spread(pairs: Iterator[tuple[np.ndarray, np.ndarray]], marks: np.ndarray) -> np.ndarray:
    """Marks of each node's neighbours, given pairs of nodes: bool [N, M] -> bool [N, M]."""
    reached = np.zeros_like(marks)
    for i, j in pairs:
        np.logical_or.at(reached, i, marks[j])
        np.logical_or.at(reached, j, marks[i])
    return reached


def _merge(number: np.ndarray, held: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    if not held:
        return number
    i, j = (number[np.concatenate(ends)] for ends in zip(*held, strict=True))
    graph = coo_array((np.ones(len(i), dtype=bool), (i, j)), shape=(len(number), len(number)))
    return connected_components(graph, directed=False)[1][number]


def _renumber_by_first_appearance(number: np.ndarray) -> np.ndarray:
    _, first, inverse = np.unique(number, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
