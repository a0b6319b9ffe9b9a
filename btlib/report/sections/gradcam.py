"""Grad-CAM of the classifier (Figure 13): the heat in the lesion, and agreement between seeds."""

from collections.abc import Mapping

from btlib.images.data.classes import CLASSES
from btlib.report.blocks import Block, Section, Table, Text
from btlib.report.figures.numbers import PERCENT, SHARE, Score, count, spoken
from btlib.report.study import Study

MEASURES = {
    "pointing_hit": Score("hottest point in the lesion", 1, 100.0, PERCENT),
    "heat_share": Score("heat inside the lesion", 1, 100.0, PERCENT),
    "lesion_share": Score("a uniform map", 1, 100.0, PERCENT),
    "heat_over_uniform": Score("heat over uniform", 2),
}
AGREEMENT = {
    "agreement": Score("same image, other seed", 2),
    "shuffled": Score("other image of the class", 2),
}


def gradcam_section(study: Study) -> Section:
    found = study.scores("gradcam")
    captions = {
        f"{label}.png": (
            f"True class {spoken(label)}: slice, heat map of each backbone and fused; errors first. A line marks the "
            "lesion if there is a mask (the paper's Figure 13).",
            f"Grad-CAM overlays of {spoken(label)} slices",
        )
        for label in CLASSES
    }
    blocks = [
        Text(finding(found)),
        *heat_tables(found),
        *_consistency(study),
        *study.figures("gradcam", captions, columns=2),
    ]
    return Section("gradcam", "Grad-CAM", blocks, study.notes["images"])


def finding(found: Mapping) -> str:
    """Whether the fused map has more heat in the lesion than a uniform map."""
    if not found["n_with_mask"]:
        return (
            "These images have no lesion masks, so nothing is measured: the heat maps below are illustrations, and "
            "prove nothing about what the classifier uses."
        )
    name, whole = fused(found["maps"])
    low, high = whole["ci95"]["heat_over_uniform"]
    verdict = "more than" if low > 1 else "less than" if high < 1 else "not significantly different from"
    return (
        f"The {spoken(name)} map has {SHARE.said(whole['heat_share'])} of its heat in the lesion, "
        f"{verdict} the {SHARE.said(whole['lesion_share'])} of a uniform map; the hottest point hits the lesion in "
        f"{SHARE.said(whole['pointing_hit'])} of {count(whole['n'])} slices. The paper reports no such number, but "
        "states that its maps are consistently concentrated in the tumour."
    )


def fused(maps: Mapping[str, Mapping]) -> tuple[str, Mapping]:
    """The fused map, or the only one, over all images."""
    name = "fused" if "fused" in maps else next(iter(maps))
    return name, maps[name]["all"]


def heat_tables(found: Mapping) -> list[Table]:
    """Each map by true class (or grade); empty without masks."""
    maps = {name: parts for name, parts in found["maps"].items() if parts["all"]["n"]}
    if not maps:
        return []
    rows = [
        (
            spoken(name),
            spoken(part),
            count(scores["n"]),
            *(measure.estimate(scores[key], (scores["ci95"] or {}).get(key)) for key, measure in MEASURES.items()),
        )
        for name, parts in maps.items()
        for part, scores in parts.items()
    ]
    columns = ("map", "of", "n", *(measure.name for measure in MEASURES.values()))
    note = (
        "In a uniform map, the lesion's share of the heat is its share of the area; heat over uniform is 1 for an "
        "uninformative map. 95 % intervals."
    )
    return [Table("Heat against lesion masks", columns, rows, note)]


def _consistency(study: Study) -> list[Block]:
    found = study.scores("gradcam_consistency")
    if not found["maps"]:
        return [Text("Agreement between seeds was not measured: it needs two seeds of the fusion table's main arm.")]
    rows = [
        (
            spoken(name),
            spoken(part),
            count(scores["n"]),
            *(measure.estimate(scores[key], scores["ci95"][key]) for key, measure in AGREEMENT.items()),
        )
        for name, parts in found["maps"].items()
        for part, scores in parts.items()
    ]
    note = (
        f"Mean correlation of heat maps over {found['seeds']} seeds of the fusion table's main arm. Maps depend on the "
        "image only as far as the first column exceeds the second. The paper calls its maps highly consistent."
    )
    return [Table("Consistency between seeds", ("map", "of", "n", *(m.name for m in AGREEMENT.values())), rows, note)]
