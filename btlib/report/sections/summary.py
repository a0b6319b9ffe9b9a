"""Headline scores with their intervals, beside the paper's."""

from collections.abc import Mapping

from btlib.core.metrics import classification
from btlib.core.metrics.metric import Shown, names
from btlib.images.data.separation import separation
from btlib.report.blocks import Number, Numbers, Section, Text
from btlib.report.figures.numbers import Score, count
from btlib.report.scores import JOINT_SCORES, SCORES
from btlib.report.study import Study
from btlib.volumes.evaluation import metrics as joint

SHOWN = names(classification.METRICS.values(), Shown.SUMMARY)
JOINT_SHOWN = names(joint.METRICS.values(), Shown.SUMMARY)


def summary_section(study: Study) -> Section:
    found, joint = study.scores("classification"), study.scores("joint3d")
    blocks = [
        Text(_classifier_words(study, found)),
        Numbers(
            [_number(SCORES[name], name, found, study.paper["headline"].get(name)) for name in SHOWN if name in found],
            badge=study.notes["images"],
        ),
        Text(_joint_words(study, joint)),
        Numbers(
            [_number(JOINT_SCORES[name], name, joint, None) for name in JOINT_SHOWN if joint.get(name) is not None],
            badge=study.notes["volumes"],
        ),
    ]
    return Section("summary", "Summary", blocks)


def _number(score: Score, name: str, found: Mapping, paper: float | None) -> Number:
    beside = f"paper {score.said(paper)}, difference {score.difference(found[name], paper)}" if paper else ""
    return Number(score.name, score.said(found[name]), score.interval(found["ci95"][name]), beside)


def _classifier_words(study: Study, found: Mapping) -> str:
    split_by, note = study.params["split_by"], study.notes["images"]
    return (
        f"Classification of {count(found['n_test'])} test images ({note or 'real images'}), split by {split_by} "
        f"({separation(study.scores('audit'), split_by)}): {count(found['errors'])} of them wrong. 95 % intervals in "
        "brackets."
    )


def _joint_words(study: Study, found: Mapping) -> str:
    note = study.notes["volumes"]
    wrong = (
        ""
        if found.get("grade_accuracy") is None
        else f"; {count(found['grade_errors'])} of {count(found['n_graded'])} grades wrong"
    )
    return (
        f"Segmentation and grading of {count(found['n_test'])} test volumes ({note or 'real volumes'}) of "
        f"{count(found['n_patients'])} patients{wrong}. The 3D paper gives no numbers to compare with."
    )
