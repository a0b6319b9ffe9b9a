"""Phrases for what a split separates, for counts computed by hand."""

import pytest

from btlib.images.data.separation import kept_apart, rung, separation


def audit(kind, near_copy=0, same_slice=0, same_patient=0, known=0, unknown=0):
    leaks = {"test": 70, "near_copy_any_orientation": near_copy, "same_slice": same_slice}
    leaks |= {"same_patient": same_patient, "known_patient": known}
    return {"images": 700, "images_without_patient": unknown, "leaks_by_split": {kind: leaks}}


def test_leak_free_only_if_every_patient_is_known():
    assert kept_apart(7011, 0) == "leak-free: patients and near copies apart"
    assert kept_apart(7011, 7011) == "near copies apart; patients unknown"
    assert kept_apart(7011, 2269) == "near copies apart; patients apart where known (4,742 of 7,011 images)"


@pytest.mark.parametrize(
    ("kind", "counts", "place", "words"),
    [
        ("group", {"known": 70}, "patient", "leak-free: patients and near copies apart"),
        ("group", {"unknown": 700}, "near_copy", "near copies apart; patients unknown"),
        ("group", {"known": 7, "unknown": 600}, "patient", "patients apart where known (100 of 700 images)"),
        ("image", {"near_copy": 9, "unknown": 700}, "image", "9 of 70 test images have a near copy in train; patients"),
        (
            "image",
            {"near_copy": 9, "same_patient": 40, "known": 50},
            "image",
            "leaks: 9 of 70 test images have a near copy in train, 40 of 50 of known patient have that patient there",
        ),
        ("folder", {"same_patient": 1, "known": 50}, None, "leaks: 0 of 70"),
        ("file", {"same_slice": 1, "unknown": 700}, None, "leaks"),
        ("file", {"known": 70}, "patient", "leak-free"),
    ],
)
def test_phrase_and_rung_of_a_split(kind, counts, place, words):
    made = audit(kind, **counts)
    assert rung(made, kind) == place
    assert words in separation(made, kind)
