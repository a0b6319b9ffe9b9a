"""The post-processing of the joint network's masks: what was chosen on the validation cases, and what it changes."""

from collections.abc import Mapping

from btlib.report.blocks import Table
from btlib.report.figures.numbers import count
from btlib.report.scores import JOINT_SCORES
from btlib.volumes.data.conventions import REGION_NAMES


def postprocessing_tables(found: Mapping | None) -> list[Table]:
    """A row for each region; no table without post-processing.

    Args:
        found: from `evaluation.gain.postprocessing_scores`.
    """
    if found is None:
        return []
    note = (
        f"Mean Dice without → with post-processing: of {count(found['val']['n'])} validation cases, on which it was "
        f"chosen, and of {count(found['test']['n'])} test cases. All other scores of the main network are with it."
    )
    if share := found["rules"]["smallest_lesion"]:
        note += f" Lesions smaller than {share:.0%} of a case's largest are removed from all regions."
    columns = ("region", "threshold", "smallest component", "smallest region", "validation", "test", "change on test")
    return [Table("Post-processing of the masks", columns, [_row(region, found) for region in REGION_NAMES], note)]


def _row(region: str, found: Mapping) -> tuple[str, ...]:
    name, rule, test = f"dice_{region}", found["rules"][region], found["test"]
    return (
        REGION_NAMES[region],
        f"{rule['threshold']:g}",
        f"{rule['smallest_component_ml']:g} ml",
        f"{rule['smallest_region_ml']:g} ml",
        _before_and_after(name, found["val"]),
        _before_and_after(name, test),
        JOINT_SCORES[name].signed(test["difference"][name], test["ci95"][name]),
    )


def _before_and_after(name: str, part: Mapping) -> str:
    return " → ".join(JOINT_SCORES[name].said(part[when][name]) for when in ("raw", "postprocessed"))
