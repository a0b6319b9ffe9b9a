"""What the page is told about an answer, and in which words."""

import json

from btlib.app.serve.answers import case_answer, slice_answer
from tests.app.serve import fakes

BARS = [
    {"name": "glioma", "p": 0.625},
    {"name": "meningioma", "p": 0.25},
    {"name": "no tumor", "p": 0.125},
    {"name": "pituitary", "p": 0.0},
]


def test_a_slice_answer_in_full():
    assert slice_answer(fakes.slice_answer(), fakes.CARD, "") == {
        "kind": "slice",
        "said": "glioma",
        "confidence": 0.625,
        "probabilities": BARS,
        "unsure": True,
        "unfamiliar": False,
        "doubts": [
            "Unsure: 62.5% is less than 70.0%, the confidence from which on at most 5% of the validation answers were "
            "wrong."
        ],
    }


def test_a_sure_and_familiar_answer_raises_no_doubts():
    assert slice_answer(fakes.slice_answer(unsure=False), fakes.CARD, "")["doubts"] == []


def test_a_model_that_is_never_sure_says_so():
    card = {"unsure": fakes.UNSURE | {"threshold": 2.0}}
    (doubt,) = slice_answer(fakes.slice_answer(), card, "")["doubts"]
    assert doubt == "Unsure: whatever the confidence, more than 5% of this model's validation answers were wrong."


def test_an_unfamiliar_image_comes_first():
    answer = slice_answer(fakes.slice_answer(unfamiliar=True, novelty=float("inf")), fakes.CARD, "")
    assert answer["unfamiliar"]
    assert [doubt.split(":")[0] for doubt in answer["doubts"]] == ["Unfamiliar", "Unsure"]
    json.dumps(answer, allow_nan=False)


def test_what_is_no_mri_is_unfamiliar_whatever_the_model_says():
    answer = slice_answer(fakes.slice_answer(unsure=False), fakes.CARD, "DICOM modality CT, not MR")
    assert answer["unfamiliar"]
    assert answer["doubts"] == ["Unfamiliar: DICOM modality CT, not MR."]


def test_a_case_answer_in_full():
    answer = fakes.case_answer(unfamiliar=True, remarks=("with skull?",))
    assert case_answer(answer, fakes.CARD, ("t2 brought onto the grid of t1ce",)) == {
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
        "doubts": ["Unfamiliar: with skull?", "T2 brought onto the grid of t1ce."],
    }


def test_a_network_that_does_not_grade():
    nothing = dict.fromkeys(("grade", "probabilities", "confidence", "unsure"))
    answer = case_answer(fakes.case_answer(**nothing), {"unsure": None}, ())
    assert (answer["said"], answer["confidence"], answer["probabilities"], answer["unsure"]) == (None, None, [], False)
    assert answer["doubts"] == []


def test_a_network_that_does_not_segment():
    assert case_answer(fakes.case_answer(volumes_ml={}), fakes.CARD, ())["volumes"] == []
