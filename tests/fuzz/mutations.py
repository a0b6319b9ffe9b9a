"""Damage to bytes of any kind, and the mutated inputs that are made of it: the same for the same reader and number."""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

from tests.fuzz.trial import Files, Reader, read_files

POWERS = (0, 4, 7, 8, 15, 16, 31, 32, 63, 64)
EDGES = sorted({sign * 2**power + step for power in POWERS for sign in (1, -1) for step in (-1, 0, 1)})
ROUNDS = (1, 1, 1, 2, 3, 6)  # how often one input is damaged


def mutated(reader: Reader, number: int) -> Files:
    """The files of input `number`; the first ones are the seeds as they are."""
    seeds = seeds_of(reader)
    if number < len(seeds):
        return seeds[number]
    rng = Random(f"{reader.name} {number}")
    files = dict(rng.choice(seeds))
    for _ in range(rng.choice(ROUNDS)):
        name = rng.choice(sorted(files))
        files[name] = _damaged(rng, files[name], reader)
    if len(files) > 1 and rng.random() < 0.05:
        del files[rng.choice(sorted(files))]
    return files


@cache
def seeds_of(reader: Reader) -> list[Files]:
    """The whole inputs of a reader."""
    with tempfile.TemporaryDirectory() as folder:
        reader.seeds(Path(folder))
        return [read_files(seed) for seed in sorted(Path(folder).iterdir())]


def _damaged(rng: Random, data: bytes, reader: Reader) -> bytes:
    if reader.mutations and rng.random() < 0.6:
        try:
            return rng.choice(reader.mutations)(rng, data)
        except Exception:  # made for whole files of its format, which these bytes may no longer be
            pass
    if rng.random() < 0.05:
        return splice(rng, data, rng.choice(list(rng.choice(seeds_of(reader)).values())))
    return rng.choice(GENERIC)(rng, data)


def flip_bits(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def change_bytes(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 4, 16))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice((0, 255, rng.randrange(256)))
    return bytes(changed)


def cut(rng: Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def insert(rng: Random, data: bytes) -> bytes:
    at, count = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 30, 1000))
    return data[:at] + rng.choice((rng.randbytes(count), bytes(count), b"\xff" * count)) + data[at:]


def repeat(rng: Random, data: bytes) -> bytes:
    start, end = _range(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 1, 2, 20)) + data[end:]


def leave_out(rng: Random, data: bytes) -> bytes:
    start, end = _range(rng, data)
    return data[:start] + data[end:]


def zero(rng: Random, data: bytes) -> bytes:
    start, end = _range(rng, data)
    return data[:start] + bytes([rng.choice((0, 0, 255))]) * (end - start) + data[end:]


def put_number(rng: Random, data: bytes) -> bytes:
    """A number at the edge of a type, at a place where headers have numbers."""
    size = rng.choice((1, 2, 4, 8))
    places = range(0, min(len(data), rng.choice((64, 512, len(data)))) - size + 1, size)
    if not places:
        return data
    at, number = rng.choice(places), rng.choice(EDGES) % 256**size
    return data[:at] + number.to_bytes(size, rng.choice(("little", "big"))) + data[at + size :]


def splice(rng: Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one input and the end of another."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + other[rng.choice((at, rng.randrange(len(other) + 1))) :]


GENERIC: tuple[Callable[[Random, bytes], bytes], ...] = (
    *(flip_bits, change_bytes, cut, insert, repeat, leave_out, zero, put_number),
)


def _range(rng: Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 64, 512)))
