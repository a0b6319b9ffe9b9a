"""The values of params.yaml that a training depends on, and the arms that override some of them.

A recipe is a mapping of dotted keys of params.yaml to values, so that an arm's overrides are `recipe | overrides`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from btlib.core.runtime.arm_names import PROPOSED
from btlib.core.runtime.nested import flatten

Recipe = Mapping[str, Any]


def arms_of(
    recipe: Recipe, common: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], reference: str = PROPOSED
) -> dict[str, Recipe]:
    """Arm name -> recipe: the reference without overrides first, then each entry `{arm: name, key: value, …}`.

    No entries, no arms: the table is switched off.
    """
    base = {**recipe, **flatten(common)}
    arms = {entry["arm"]: flatten({key: value for key, value in entry.items() if key != "arm"}) for entry in entries}
    return {name: base | overrides for name, overrides in ({reference: {}} | arms).items()} if arms else {}
