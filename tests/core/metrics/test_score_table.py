"""Scores as a table: the columns, and a round trip without loss."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btlib.core.metrics.score_table import read_scores, score_table
from btlib.core.runtime.artifacts import write_csv

SCORES = {
    "n_test": 16,
    "models": {
        "main": {
            "clean": {"accuracy": 0.75},
            "corruptions": {"noise": {"1": {"accuracy": 0.5, "ci95": {"accuracy": [0.25, 1.0]}}}},
        }
    },
    "rows": [
        {"arm": "a/b~0.1", "modalities": ["t1", "t2"], "seeds": [{"seed": 3, "accuracy": 1.0}], "p_value": None},
        {"arm": "c", "modalities": [], "seeds": [], "p_value": 1e-300},
    ],
}
LEVELS = {
    "models": "model",
    "corruptions": "corruption",
    "corruption": "severity",
    "rows": ["arm", "modalities"],
    "seeds": ["seed"],
}


def test_columns_hold_the_levels():
    table = score_table(SCORES, LEVELS)
    levels = ["model", "corruption", "severity", "arm", "modalities", "seed"]
    assert list(table) == ["key", *levels, "score", "value", "low", "high"]
    rows = {row["key"]: [cell for cell in row[1:] if cell != ""] for _, row in table.iterrows()}
    assert rows["/n_test"] == ["n_test", "16"]
    assert rows["/models/main/clean/accuracy"] == ["main", "clean accuracy", "0.75"]
    assert rows["/models/main/corruptions/noise/1/accuracy"] == ["main", "noise", "1", "accuracy", "0.5"]
    interval = rows["/models/main/corruptions/noise/1/ci95/accuracy"]
    assert interval == ["main", "noise", "1", "ci95 accuracy", "0.25", "1.0"]
    assert rows["/rows/#0/seeds/#0/accuracy"] == ["a/b~0.1", "t1+t2", "3", "accuracy", "1.0"]
    assert rows["/rows/#1/p_value"] == ["c", "p_value", "1e-300"]


def there_and_back(scores, levels, folder):
    write_csv(folder / "scores.csv", score_table(scores, levels))
    return read_scores(folder / "scores.csv")


def test_nothing_is_lost(tmp_path):
    assert there_and_back(SCORES, LEVELS, tmp_path) == SCORES


NUMBERS = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
NAMES = st.text(st.characters(exclude_characters="#", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1)
LEAVES = NUMBERS | st.lists(NUMBERS, max_size=3)
PARTS = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=9)


@given(st.dictionaries(NAMES, PARTS, min_size=1, max_size=4))
def test_nothing_is_lost_of_any_scores(tmp_path_factory, scores):
    assert there_and_back(scores, {"a": "b", "b": "c"}, tmp_path_factory.mktemp("scores")) == scores


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[3] / "metrics").glob("*.json")), ids=lambda path: path.stem
)
def test_nothing_is_lost_of_the_demo(path, tmp_path):
    scores = json.loads(path.read_text(encoding="utf-8"))
    assert there_and_back(scores, LEVELS, tmp_path) == scores
