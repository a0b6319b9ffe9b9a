"""Answers in the page's format, with their explanations."""

import json

from btlib.app.serve.answers import case_answer, slice_answer
from tests.app.serve import fakes

BARS = [
    {"name": "glioma", "p": 0.625},
    {"name": "meningioma", "p": 0.25},
    {"name": "no tumor", "p": 0.125},
    {"name": "pituitary", "p": 0.0},
]


def test_complete_slice_answer():
    assert slice_answer(fakes.slice_answer(), fakes.CARD, "") == {
        "kind": "slice",
        "lesion_share": None,
        "said": "glioma",
        "confidence": 0.625,
        "probabilities": BARS,
        "unsure": True,
        "unfamiliar": False,
        "doubts": [
            "Unsure: 62.5% is less than 70.0%, the confidence above which at most 5% of the validation answers were "
            "wrong."
        ],
    }


def test_lesion_share_is_passed_on():
    assert slice_answer(fakes.slice_answer(lesion_share=0.034), fakes.CARD, "")["lesion_share"] == 0.034


def test_confident_familiar_answer_raises_no_doubts():
    assert slice_answer(fakes.slice_answer(unsure=False), fakes.CARD, "")["doubts"] == []


def test_threshold_above_one_marks_every_answer_unsure():
    card = {"unsure": fakes.UNSURE | {"threshold": 2.0}}
    (doubt,) = slice_answer(fakes.slice_answer(), card, "")["doubts"]
    assert doubt == "Unsure: at any confidence, more than 5% of this model's validation answers were wrong."


def test_unfamiliarity_is_listed_before_uncertainty():
    answer = slice_answer(fakes.slice_answer(unfamiliar=True, novelty=float("inf")), fakes.CARD, "")
    assert answer["unfamiliar"]
    assert [doubt.split(":")[0] for doubt in answer["doubts"]] == ["Unfamiliar", "Unsure"]
    json.dumps(answer, allow_nan=False)


def test_other_modalities_than_mr_are_always_unfamiliar():
    answer = slice_answer(fakes.slice_answer(unsure=False), fakes.CARD, "DICOM modality CT, not MR")
    assert answer["unfamiliar"]
    assert answer["doubts"] == ["Unfamiliar: DICOM modality CT, not MR."]


def test_complete_case_answer():
    answer = fakes.case_answer(unfamiliar=True, remarks=("with skull?",))
    assert case_answer(answer, fakes.CARD, ("t2 resampled to the grid of t1ce",)) == {
        "kind": "case",
        "said": "high-grade glioma",
        "confidence": 0.875,
        "probabilities": [{"name": "low-grade glioma", "p": 0.125}, {"name": "high-grade glioma", "p": 0.875}],
        "unsure": False,
        "unfamiliar": True,
        "volumes": [
            {"name": "whole tumour", "ml": 0.512},
            {"name": "tumour core", "ml": 0.064},
            {"name": "enhancing tumour", "ml": 0.016},
        ],
        "sources": [{"modality": "t1", "file": "case_t1.nii.gz", "why": "its name"}],
        "doubts": ["Unfamiliar: with skull?", "T2 resampled to the grid of t1ce."],
    }


def test_network_without_grading_head():
    nothing = dict.fromkeys(("grade", "probabilities", "confidence", "unsure"))
    answer = case_answer(fakes.case_answer(**nothing), {"unsure": None}, ())
    assert (answer["said"], answer["confidence"], answer["probabilities"], answer["unsure"]) == (None, None, [], False)
    assert answer["doubts"] == []


def test_network_without_segmentation_head():
    assert case_answer(fakes.case_answer(volumes_ml={}), fakes.CARD, ())["volumes"] == []
