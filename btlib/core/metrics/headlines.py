"""What of the scores of heat maps stands in metrics/; the rest lies in data/tables/."""

from collections.abc import Mapping
from typing import Any

MAP_LEVELS = {"maps": "map", "map": "class"}


def map_headline(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Of each kind of map the scores over all images, without those by class.

    Args:
        scores: `maps`: map -> 'all' and classes -> scores; whatever else there is stays.
    """
    return {**scores, "maps": {name: {"all": parts["all"]} for name, parts in scores["maps"].items()}}
