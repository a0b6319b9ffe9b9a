"""Headline numbers for metrics/; all others go to data/tables/."""

from collections.abc import Mapping, Sequence
from typing import Any

OUTLINE = "lesion_outline"
MAP_LEVELS = {"maps": "map", "map": "class", OUTLINE: "class"}


def map_headline(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of each kind of heat map, and of the lesion map's outlines, over all images, without those by class.

    Args:
        scores: `maps`: map -> 'all' and classes -> scores; OUTLINE, if there is a lesion map: 'all' and classes ->
            scores; other keys are kept.
    """
    maps = {name: {"all": parts["all"]} for name, parts in scores["maps"].items()}
    outline = {OUTLINE: {"all": scores[OUTLINE]["all"]}} if OUTLINE in scores else {}
    return {**scores, "maps": maps, **outline}


def arm_rows(rows: Sequence[Mapping[str, Any]], seed_score: str, scores: Sequence[str]) -> list[dict[str, Any]]:
    """Each arm's mean and standard deviation over seeds, score of every seed, and p-value.

    Args:
        rows: of an ablation table.
        seed_score: the score to keep of every seed.
        scores: the scores to keep of mean and standard deviation.
    """
    return [
        {
            "arm": row["arm"],
            "seeds": [{key: run[key] for key in ("seed", seed_score, "failed") if key in run} for run in row["seeds"]],
            **{of: row[of] and {score: row[of][score] for score in scores} for of in ("mean", "sd")},
            "p_value": row["p_value"],
        }
        for row in rows
    ]
