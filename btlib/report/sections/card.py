"""The model card: intended use, networks and data, limits, citation."""

from collections.abc import Mapping

from btlib.images.data.separation import leaking, separation
from btlib.report.blocks import Bullets, Heading, Section, Table, Text
from btlib.report.figures.numbers import SHARE, count, spoken
from btlib.report.scores import SCORES
from btlib.report.sections.external import ABOVE, WITHIN, against_chance, verdict
from btlib.report.sections.gradcam import fused
from btlib.report.sections.run import written
from btlib.report.study import Study

FOR = (
    "Research on methods: how splits, losses, fusion, augmentation and uncertainty affect results on brain-tumour MRI.",
    "Teaching, and checking published claims on your own data, with leaks, intervals and shortcuts in view.",
)
NOT_FOR = (
    "Diagnosis, triage, treatment or any other decision about a person. This is not a medical device.",
    "Scans unlike the training data: other sequences, scanners, ages, treated tumours, other diseases. The classifier "
    "assigns one of its classes to any image.",
    "Claims about patients from runs on phantoms.",
)


def card_section(study: Study) -> Section:
    blocks = [
        Text("Research software, not a medical device.", notice=True),
        Heading("Intended use"),
        Bullets(FOR),
        Heading("Not for"),
        Bullets(NOT_FOR),
        Heading("Networks and data"),
        _networks(study),
        Heading("Limits"),
        Bullets(limits(study)),
        Heading("How to cite"),
        Text(citation_words(study)),
    ]
    return Section("card", "Model card: intended use and limits", blocks, study.badge)


def _networks(study: Study) -> Table:
    images, volumes, split_by = study.scores("audit"), study.scores("split_volumes"), study.params["split_by"]
    cases = sum(count_ for part in volumes.values() for count_ in part.values())
    rows = [
        (
            "slice classifier",
            f"{count(images['images'])} images, {study.notes['images'] or 'real'}; split by {split_by}: "
            f"{separation(images, split_by)}",
            written(study.params["backbones"]),
            f"{study.params['fusion']}, {study.params['image_size']} px",
        ),
        (
            "joint network for volumes",
            f"{count(cases)} cases, {study.notes['volumes'] or 'real'}",
            "3D encoder-decoder" + (" with attention gates" if study.params["joint.attention"] else ""),
            f"{study.params['joint.size']}³ voxels of {written(study.params['volumes.spacing'])} mm",
        ),
    ]
    return Table("The networks", ("network", "data", "architecture", "input"), rows, words=True)


def limits(study: Study) -> list[str]:
    """The reasons that this run's own numbers give not to trust it."""
    audit, found = study.scores("audit"), study.scores("classification")
    heat = study.scores("gradcam")
    sentences = [
        f"The {part} are synthetic ({note}): scores on them only show that the pipeline works."
        for part, note in study.notes.items()
        if note
    ]
    sentences += [*_split_limit(audit, study.params["split_by"]), *_outside_limits(study)]
    if not study.notes["images"]:
        sentences.append(
            "One data set, in which source and class may be confounded; see the shortcuts, and expect lower scores "
            "elsewhere."
        )
    ece = SCORES["ece"].estimate(found["ece"], found["ci95"]["ece"])
    sentences += [
        f"Probabilities are off by {ece} on average (ECE); see calibration.",
        f"The intervals cover {count(found['n_test'])} test images and one trained network, not other seeds, sites or "
        "scanners.",
        _heat_limit(heat),
        "There was no reader study, no prospective data, and no analysis by age, sex or scanner.",
    ]
    return sentences


def _split_limit(audit: Mapping, split_by: str) -> list[str]:
    """Known or possible leaks of the split; empty if every patient is known and on one side only."""
    kept = f"Split by {split_by}, {separation(audit, split_by)}"
    if leaking(audit["leaks_by_split"][split_by]):
        return [f"{kept}: the scores are optimistic."]
    unknown = audit["images_without_patient"]
    if not unknown:
        return []
    return [
        f"{kept}. For {count(unknown)} images it is unknown whether their patient is on both sides, so the scores may "
        "be optimistic."
    ]


def _outside_limits(study: Study) -> list[str]:
    """The sets from other hospitals on which the classifier is not above chance."""
    sets = study.scores("external")["sets"]
    return [
        f"On slices of {spoken(name)}, {verdict(scores)}"
        for name, scores in sets.items()
        if scores[WITHIN] is None or against_chance(scores["ci95"][WITHIN], scores["patients_with_both"]) != ABOVE
    ]


def _heat_limit(heat: Mapping) -> str:
    if not heat["n_with_mask"]:
        return "Heat maps could not be checked against lesions; they are no evidence of what the classifier uses."
    _, whole = fused(heat["maps"])
    return (
        f"The heat maps' hottest point hits the lesion in {SHARE.said(whole['pointing_hit'])} of the slices; "
        "they are weak evidence of what the classifier uses."
    )


def citation_words(study: Study) -> str:
    """The citation of this software and of the papers that it studies."""
    cited = study.citation
    papers = "; ".join(f"“{paper['title']}”" for paper in cited.get("references", []))
    return f"{cited['title']}, version {cited['version']}, {cited['license']}; and the papers it studies: {papers}."
