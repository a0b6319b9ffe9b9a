"""Training recipes from params.yaml: the main model's, and those of all ablation arms.

A recipe maps dotted keys of params.yaml to values. Stage `check` writes the recipes out, so that a table is retrained
if one of its arms changes, but not if a value changes that all of them override.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from btlib.core.runtime.arm_names import FULL, PROPOSED, RADIOMICS
from btlib.core.runtime.nested import flatten
from btlib.core.settings.schema import (
    NOT_OF_ONE_ARM,
    NOT_OF_ONE_JOINT_ARM,
    OF_THE_JOINT_NETWORK,
    PHANTOM_SHARE,
    TABLES,
    Params,
)

OF_A_CLASSIFIER = tuple(key for key in Params.model_fields if key not in NOT_OF_ONE_ARM)


def all_recipes(params: Params) -> dict[str, dict[str, Any]]:
    """The files that stage `check` writes: name -> content.

    `main`: the main classifier's recipe. Each of `TABLES`, and `joint`: `seeds`, `arms` (a list of `arm`, the name, and
    `recipe`, the reference first; empty if the table is switched off) and, except for `joint`, `keep_networks` (names
    of arms). `backbones`: `names` of all backbones in use. `phantoms`: `subjects` whose slices are trained on, and
    how many lesions are `pasted` into an image; 0 if no recipe has a share of them. `phantom_cases`: the number of
    `cases` that the joint network trains on beside the study's; 0 without a share of them.
    """
    values = params.model_dump()
    main = flatten({key: values[key] for key in OF_A_CLASSIFIER}) | {PHANTOM_SHARE: params.images.phantom.share}
    ablations, joint = params.ablations, params.joint.ablation
    tables = {
        name: {
            "seeds": ablations.seeds,
            "keep_networks": ablations.keep_networks.get(name, []),
            "arms": _arms(PROPOSED, main, ablations.common, getattr(ablations, name)),
        }
        for name in TABLES
    }
    every = [main, *(arm["recipe"] for table in tables.values() for arm in table["arms"])]
    phantom, used = params.images.phantom, any(recipe[PHANTOM_SHARE] for recipe in every)
    names = sorted({backbone for recipe in every for backbone in recipe["backbones"]})
    of_joint = flatten(
        {key: value for key, value in values["joint"].items() if f"joint.{key}" not in NOT_OF_ONE_JOINT_ARM}
    )
    of_joint["phantom_share"] = params.volumes.phantom.share
    arms = [arm | {"recipe": _used(arm["recipe"])} for arm in _arms(FULL, of_joint, joint.common, joint.arms)]
    return {
        "main": main,
        **tables,
        "joint": {"seeds": joint.seeds, "arms": arms},
        "backbones": {"names": names},
        "phantom_cases": {"cases": params.volumes.phantom.training_cases * (params.volumes.phantom.share > 0)},
        "phantoms": {"subjects": phantom.training_subjects * used, "pasted": phantom.pasted * used},
    }


def _arms(
    reference: str, recipe: Mapping[str, Any], common: Mapping[str, Any] | None, entries: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """`arm` and `recipe` of the reference and each entry `{arm: name, key: value, …}`; empty without entries.

    An entry's keys may be nested or dotted.
    """
    base = {**recipe, **flatten(common or {})}
    arms = [{"arm": reference, "recipe": base}]
    for entry in entries:
        overrides = flatten({key: value for key, value in entry.items() if key != "arm"})
        arms.append({"arm": entry["arm"], "recipe": base | overrides})
    return arms if entries else []


def _used(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an arm of the joint network that have an effect with its `grader`, if it has one."""
    if recipe.get("grader") == RADIOMICS:
        return {"grader": RADIOMICS, "phantom_share": recipe["phantom_share"]}
    without = OF_THE_JOINT_NETWORK if "grader" in recipe else ()
    return {key: value for key, value in recipe.items() if key not in without}
