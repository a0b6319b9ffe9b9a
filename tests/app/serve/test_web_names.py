"""Names of uploads that are safe for any file system and page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btlib.app.serve.names import MAX_BYTES, harmless, last_part


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("case_t1.nii.gz", "case_t1.nii.gz"),
        ("T1+C.nii.gz", "T1+C.nii.gz"),
        ("T1 增强.nii.gz", "T1 增强.nii.gz"),
        ("Ｔ１＋Ｃ.nii", "T1+C.nii"),
        ("Müller, Anna.png", "Müller, Anna.png"),
        ("Mu\u0308ller.png", "Müller.png"),
        ("हिन्दी.png", "हिन्दी.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\scans\\T1 (2).nii", "T1 (2).nii"),
        ("T1／T2.nii", "T1_T2.nii"),
        ("<img src=x onerror=alert(1)>.png", "_img src=x onerror=alert(1)_.png"),
        ("a\x00b\nc\u202ed\ud800.png", "a_b_c_d_.png"),
        (".hidden", "hidden"),
        (" . .hidden ", "hidden"),
        ("..", "file"),
        ("", "file"),
        ("NUL.nii", "_NUL.nii"),
        ("com1", "_com1"),
        ("null.nii", "null.nii"),
        ("a" * 201 + ".nii.gz", "a" * 99 + "_" + "a" * 92 + ".nii.gz"),
        ("瘤" * 200 + ".nii.gz", "瘤" * 33 + "_" + "瘤" * 30 + ".nii.gz"),
    ],
)
def test_names_are_made_harmless(name, kept):
    assert last_part(name) == kept


@given(st.text(st.characters(codec=None), max_size=400))
def test_any_name_becomes_valid(name):
    found = harmless(name)
    assert 0 < len(found.encode()) <= MAX_BYTES
    assert not set(found) & set('/\\<>:"|?*') and found.isprintable()
    assert not found.startswith(".") and found.strip() == found
    assert harmless(found) == found
