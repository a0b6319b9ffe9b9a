import pytest

from btlib.images.data.classes import ALIASES, CLASSES, class_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("glioma_tumor", "glioma"),
        ("Meningioma Tumor", "meningioma"),
        ("PITUITARY-TUMOR", "pituitary"),
        ("notumor", "no_tumor"),
        ("no_tumor", "no_tumor"),
        ("No", "no_tumor"),
        ("Training", None),
        ("yes", None),
        ("gliomas", None),
    ],
)
def test_class_of(name, expected):
    assert class_of(name) == expected


def test_every_alias_is_its_own_normal_form():
    assert {class_of(alias) for alias in ALIASES} == set(CLASSES)
    assert [class_of(name) for name in CLASSES] == list(CLASSES)
