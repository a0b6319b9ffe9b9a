"""Recipes written by stage `check` (`core.settings.recipes`): dotted keys of params.yaml -> values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from btlib.core.runtime.artifacts import read_json

Recipe = Mapping[str, Any]


class Table(NamedTuple):
    """The arms of an ablation.

    Attributes:
        seeds: each arm is trained with all of them.
        arms: name -> recipe without a seed, the reference first; empty if the table is switched off.
        keep_networks: names of the arms whose networks are kept.
    """

    seeds: list[int]
    arms: dict[str, Recipe]
    keep_networks: list[str]


def read_table(path: Path) -> Table:
    """Reads a table written by stage `check`."""
    found = read_json(path)
    arms = {arm["arm"]: arm["recipe"] for arm in found["arms"]}
    return Table(found["seeds"], arms, found.get("keep_networks", []))
