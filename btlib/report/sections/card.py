"""The model card: what the networks are for, what not, what they learnt from, how far to trust them."""

from collections.abc import Mapping

from btlib.images.data.separation import leaking, separation
from btlib.report.blocks import Bullets, Heading, Section, Table, Text
from btlib.report.scores import SCORES, SHARE, count, spoken
from btlib.report.sections.external import ABOVE, WITHIN, against_chance, verdict
from btlib.report.sections.gradcam import fused
from btlib.report.sections.run import written
from btlib.report.study import Study

FOR = (
    "Research on methods: how splits, losses, fusion, augmentation and uncertainty change results on brain-tumour MRI.",
    "Teaching, and checking claims of papers on one's own data, with leaks, intervals and shortcuts in view.",
)
NOT_FOR = (
    "Diagnosis, triage, treatment or any other decision about a person. This is not a medical device.",
    "Scans unlike those it was trained on: other sequences, scanners, ages, treated tumours, other diseases. It "
    "answers one of its classes whatever it is shown.",
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
            "classifier of slices",
            f"{count(images['images'])} images, {study.notes['images'] or 'real'}; split by {split_by}: "
            f"{separation(images, split_by)}",
            written(study.params["backbones"]),
            f"{study.params['fusion']}, {study.params['image_size']} px",
        ),
        (
            "joint network of volumes",
            f"{count(cases)} cases, {study.notes['volumes'] or 'real'}",
            "3D encoder-decoder" + (" with attention gates" if study.params["joint.attention"] else ""),
            f"{study.params['joint.size']}³ voxels of {written(study.params['volumes.spacing'])} mm",
        ),
    ]
    return Table("The networks", ("network", "data", "architecture", "input"), rows, words=True)


def limits(study: Study) -> list[str]:
    """What this run's own numbers say against trusting it."""
    audit, found = study.scores("audit"), study.scores("classification")
    heat = study.scores("gradcam")
    sentences = [
        f"The {part} are synthetic ({note}): every score on them shows that the pipeline works and nothing more."
        for part, note in study.notes.items()
        if note
    ]
    sentences += [*_split_limit(audit, study.params["split_by"]), *_outside_limits(study)]
    if not study.notes["images"]:
        sentences.append(
            "One data set, whose sources and classes may be tied; see the shortcuts, and expect less elsewhere."
        )
    ece = SCORES["ece"].estimate(found["ece"], found["ci95"]["ece"])
    sentences += [
        f"Probabilities are off by {ece} on average (ECE); see calibration.",
        f"The intervals speak of {count(found['n_test'])} test images and one trained network, not of other "
        "seeds, sites or scanners.",
        _heat_limit(heat),
        "No study with readers, no prospective data, no check by age, sex or scanner was made.",
    ]
    return sentences


def _split_limit(audit: Mapping, split_by: str) -> list[str]:
    """What the split leaves on both sides, or might; nothing where every patient is known and apart."""
    kept = f"Split by {split_by}, {separation(audit, split_by)}"
    if leaking(audit["leaks_by_split"][split_by]):
        return [f"{kept}: the scores flatter."]
    unknown = audit["images_without_patient"]
    if not unknown:
        return []
    return [
        f"{kept}. Of {count(unknown)} images nobody knows whether their patient is on both sides, so the scores may "
        "flatter."
    ]


def _outside_limits(study: Study) -> list[str]:
    """What the sets of other hospitals say; a set beyond chance is no limit."""
    sets = study.scores("external")["sets"]
    return [
        f"On slices of {spoken(name)} {verdict(scores)}"
        for name, scores in sets.items()
        if scores[WITHIN] is None or against_chance(scores["ci95"][WITHIN], scores["patients_with_both"]) != ABOVE
    ]


def _heat_limit(heat: Mapping) -> str:
    if not heat["n_with_mask"]:
        return "Heat maps could not be checked against lesions; they are no evidence of what is read."
    _, whole = fused(heat["maps"])
    return (
        f"The heat maps' hottest point hits the lesion in {SHARE.said(whole['pointing_hit'])} of the slices; "
        "they are weak evidence of what is read."
    )


def citation_words(study: Study) -> str:
    """How to cite: this software, and the papers that it studies."""
    cited = study.citation
    papers = "; ".join(f"“{paper['title']}”" for paper in cited.get("references", []))
    return f"{cited['title']}, version {cited['version']}, {cited['license']}; and what it studies: {papers}."
