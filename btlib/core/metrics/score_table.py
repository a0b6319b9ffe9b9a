"""Nested scores as a table with one number per row, and back without loss.

`metrics/` holds the headline numbers, for git and `dvc metrics diff`; these tables hold all others, for people, plots
and the report.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.errors import guarded

INTERVAL = "ci95"
ENDS = ("low", "high")


class _Leaf(NamedTuple):
    """One number: its path, column -> value for the levels above it, and its score name (the rest of the path)."""

    path: tuple[str, ...]
    named: dict[str, str]
    score: tuple[str, ...]
    value: Any


def score_table(scores: Mapping[str, Any], levels: Mapping[str, str | Sequence[str]]) -> pd.DataFrame:
    """The scores in columns `key, <levels>, score, value, low, high`: a row has a value or a 95 % interval.

    Args:
        scores: nested mappings and lists of numbers, strings and None; intervals are under `ci95`.
        levels: the levels that become columns. Key of a mapping -> column for the keys below it; the column may itself
            be a key: {"maps": "map", "map": "class"}. Key of a list of mappings -> the items' fields that become
            columns: {"rows": ["arm"]}.

    Returns:
        All strings; `key` is the path in the scores, and the last three columns are JSON, so nothing is lost.
    """
    leaves = list(_leaves(scores, levels, "", (), {}, ()))
    columns = list(dict.fromkeys(name for leaf in leaves for name in leaf.named))
    rows = [
        [_joined(leaf.path), *(leaf.named.get(name, "") for name in columns), " ".join(leaf.score), *_cells(leaf)]
        for leaf in leaves
    ]
    return pd.DataFrame(rows, columns=["key", *columns, "score", "value", *ENDS])


def write_scores(path: Path, scores: Mapping[str, Any], levels: Mapping[str, str | Sequence[str]]) -> None:
    """Writes the `score_table` as CSV."""
    write_csv(path, score_table(scores, levels))


def read_scores(path: Path) -> dict[str, Any]:
    """Reads scores written by `write_scores`."""
    scores: dict[str, Any] = {}
    with (
        guarded(str(path), "table of scores", "delete it and run `dvc repro` again"),
        path.open(encoding="utf-8", newline="") as file,
    ):
        for row in csv.DictReader(file):
            *above, last = _split(row["key"])
            section = scores
            for name in above:
                section = section.setdefault(name, {})
            section[last] = json.loads(row["value"]) if row["value"] else [json.loads(row[end]) for end in ENDS]
    return _with_lists(scores)


def _leaves(
    part: Any, levels: Mapping, name: str, path: tuple[str, ...], named: dict[str, str], score: tuple[str, ...]
) -> Iterator[_Leaf]:
    """Leaves in depth-first order; `name` is the key of `part`, or the column that holds this key."""
    column = levels.get(name)
    if isinstance(part, Mapping) and part:
        for key, below in part.items():
            if isinstance(column, str):
                yield from _leaves(below, levels, column, (*path, key), named | {column: key}, score)
            else:
                rest = score if key in levels else (*score, key)
                yield from _leaves(below, levels, key, (*path, key), named, rest)
    elif isinstance(part, Sequence) and part and isinstance(part[0], Mapping):
        for number, item in enumerate(part):
            fields = {field: _words(item[field]) for field in column or () if field in item}
            yield from _leaves(item, levels, "", (*path, f"#{number}"), named | fields, score)
    else:
        yield _Leaf(path, named, score, part)


def _words(value: Any) -> str:
    return "+".join(value) if isinstance(value, list) else str(value)


def _cells(leaf: _Leaf) -> list[str]:
    """Value, low and high."""
    if INTERVAL in leaf.path and isinstance(leaf.value, Sequence) and len(leaf.value) == 2:
        return ["", *map(json.dumps, leaf.value)]
    return [json.dumps(leaf.value), "", ""]


def _joined(path: Sequence[str]) -> str:
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path)


def _split(key: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in key.split("/")[1:]]


def _with_lists(part: Any) -> Any:
    """Turns mappings with keys #0, #1, … back into lists."""
    if not isinstance(part, dict):
        return part
    whole = {key: _with_lists(below) for key, below in part.items()}
    return list(whole.values()) if whole and all(key.startswith("#") for key in whole) else whole
