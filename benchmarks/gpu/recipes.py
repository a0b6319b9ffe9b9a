"""Values of params.yaml under a profile, and what the paper's study would take, extrapolated from single steps."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from btlib.core.settings.profile import merged, read_overlay
from btlib.core.settings.recipes import all_recipes
from btlib.core.settings.schema import TABLES, check_params, read_yaml
from btlib.images.training.study import groups_of

ROOT = Path(__file__).parents[2]
TRAINING_IMAGES = 5618  # the paper's Table 2


def recipe_values(profile: str, *overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values of params.yaml under a profile and further overrides; the last one wins."""
    values = merged(read_yaml(ROOT / "params.yaml"), read_overlay(ROOT / "profiles" / profile))
    for each in overrides:
        values = merged(values, deepcopy(each))
    return values


def extrapolated(results: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds of the paper's run and of all its tables, without reading images, testing and drawing.

    Every step is taken to cost as much as one of the paper's pair at batch 32; in stage 1 a further arm in the same
    batches costs what it did among eight, in stage 2 as much as a run of its own.
    """
    recipes = all_recipes(check_params(recipe_values("paper.yaml"), "profiles/paper.yaml"))
    step = {stage: results["steps"][f"stage{stage}"]["seconds_a_step"] for stage in (1, 2)}
    more = {1: results["arms"]["one_more_arm"], 2: step[2]}
    main = {"main": recipes["main"] | {"seed": 0}}
    tables = [recipes[name] for name in TABLES]
    seconds = [
        len(table["seeds"]) * _seconds({arm["arm"]: arm["recipe"] | {"seed": 0} for arm in table["arms"]}, step, more)
        for table in tables
    ]
    return {
        "how": "extrapolated from seconds per step, not run",
        "one_paper_run_seconds": _seconds(main, step, more),
        "all_tables_minutes": sum(seconds) / 60,
        "runs": sum(len(table["seeds"]) * len(table["arms"]) for table in tables),
    }


def _seconds(arms: Mapping[str, Mapping[str, Any]], step: Mapping[int, float], more: Mapping[int, float]) -> float:
    total = 0.0
    for stage in (1, 2):
        for shared, names in groups_of(arms, stage).items():
            steps = shared.spec.epochs * (TRAINING_IMAGES // 32)
            total += steps * (step[stage] + more[stage] * (len(names) - 1))
    return total
