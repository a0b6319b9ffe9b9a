"""Grad-CAM of the classifier (Figure 13): the heat in the lesion, outlines, and agreement between seeds."""

from collections.abc import Mapping

from btlib.core.metrics.headlines import OUTLINE
from btlib.core.metrics.outlines import LESION_MAP, METRICS, OF_LESIONS, OUTLINED
from btlib.images.data.classes import CLASSES
from btlib.report.blocks import Block, Section, Table, Text
from btlib.report.figures.numbers import PERCENT, SHARE, Score, count, spoken
from btlib.report.figures.wording import scores_of
from btlib.report.study import Study

MEASURES = {
    "pointing_hit": Score("hottest point in the lesion", 1, 100.0, PERCENT),
    "heat_share": Score("heat inside the lesion", 1, 100.0, PERCENT),
    "lesion_share": Score("a uniform map", 1, 100.0, PERCENT),
    "heat_over_uniform": Score("heat over uniform", 2),
}
OUTLINES = scores_of(METRICS)
AGREEMENT = {
    "agreement": Score("same image, other seed", 2),
    "shuffled": Score("other image of the class", 2),
}


def gradcam_section(study: Study) -> Section:
    found = study.scores("gradcam")
    dashed = " A dashed line marks what the lesion map outlines." if OUTLINE in found else ""
    captions = {
        f"{label}.png": (
            f"True class {spoken(label)}: slice, heat map of each backbone and fused; errors first. A line marks the "
            f"lesion if there is a mask (the paper's Figure 13).{dashed}",
            f"Grad-CAM overlays of {spoken(label)} slices",
        )
        for label in CLASSES
    }
    blocks = [
        Text(finding(found)),
        *heat_tables(found),
        *outline_blocks(found),
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
    """The fused Grad-CAM map, or the only one, over all images."""
    name = "fused" if "fused" in maps else next(name for name in maps if name != LESION_MAP)
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
    if LESION_MAP in maps:
        note += " The heat of the lesion map is its probability."
    return [Table("Heat against lesion masks", columns, rows, note)]


def outline_blocks(found: Mapping) -> list[Block]:
    """What the lesion map outlines, in words and by true class; empty for a network without a lesion head."""
    if OUTLINE not in found:
        return []
    whole = found[OUTLINE]["all"]
    sentences = [
        *([_overlap(whole, found["maps"][LESION_MAP]["all"])] if whole["n"] else []),
        *([_false_outlines(whole)] if whole["n_without"] else []),
    ]
    return [Text(" ".join(sentences)), *_outline_tables(found[OUTLINE])] if sentences else []


def _overlap(whole: Mapping, heat: Mapping) -> str:
    """Dice of the outlines and pointing of the map."""
    dice = OUTLINES["dice"].estimate(whole["dice"], whole["ci95"]["dice"])
    pointing = MEASURES["pointing_hit"].estimate(heat["pointing_hit"], heat["ci95"]["pointing_hit"])
    return (
        f"What the lesion map outlines (probability ≥ {OUTLINED}) overlaps the lesion with a mean Dice of {dice} in "
        f"{count(whole['n'])} slices; its highest point is in the lesion in {pointing} of them. It was trained on "
        "outlines, which heat maps are not."
    )


def _false_outlines(whole: Mapping) -> str:
    share = OUTLINES["false_outlines"]
    return (
        f"The lesion map outlines something in "
        f"{share.estimate(whole['false_outlines'], whole['ci95']['false_outlines'])} of {count(whole['n_without'])} "
        f"slices without a tumour (exact interval {share.interval(whole['false_outlines_ci95_exact'])})."
    )


def _outline_tables(parts: Mapping[str, Mapping]) -> list[Table]:
    """The Dice by true class; empty without masks."""
    rows = [
        (
            spoken(part),
            count(scores["n"]),
            *(OUTLINES[key].estimate(scores[key], scores["ci95"][key]) for key in OF_LESIONS),
        )
        for part, scores in parts.items()
        if scores["n"]
    ]
    columns = ("of", "n", *(OUTLINES[key].name for key in OF_LESIONS))
    note = "A slice in which nothing is outlined has a Dice of 0. 95 % intervals."
    return [Table("Outlines of the lesion map against lesion masks", columns, rows, note)] if rows else []


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
