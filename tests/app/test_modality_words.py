"""Modality and contrast from file names and series descriptions, in several languages."""

import re

import pytest

from btlib.app.scans.modality_words import spoken, without_agent


@pytest.mark.parametrize(
    ("text", "weighting"),
    [
        ("BraTS20_Training_001_t1", "t1"),
        ("sT1W_3D_TFE", "t1"),
        ("T1WI", "t1"),
        ("t1_mpr_sag_p2_iso", "t1"),
        ("AX T1 FLAIR", "t1"),
        ("Ax T2 FLAIR", "flair"),
        ("t2_tirm_tra_dark-fluid", "flair"),
        ("T2", "t2"),
        ("T2W_TSE", "t2"),
        ("Ｔ２", "t2"),  # full-width letters
        ("t1_mask", "other"),
        ("T2* GRE", "other"),
        ("patient12", None),
        ("T10", None),
        ("T1 in T2 space", None),
    ],
)
def test_weighting(text, weighting):
    assert spoken(text).weighting == weighting


WITH = """
    T1 C+ | T1+C | T1_C+ | T1 +C | T1(+C) | T1 +KM | T1-KM | T1-Gd | Case7_T1-Gd | T1Gd | t1ce | t1c | T1 IV+
    AX T1 W/ | AX T1 W/ CONTRAST | AX T1 W CONTRAST | AX T1 WITH | T1 w/ gad | T1 POST | T1 POST-GD
    T1 POSTCON | sub-1_ce-gadolinium_T1w | T1W_SE_GD | sag T1 gd fs | sT1W_3D_TFE_contrast | T1 FS POST GAD
    T1 SE post Gd | T1 nach KM | T1 mit KM | T1 m. KM | t1_tse_tra_mKM | T1 SE tra mit | T1 Kontrastmittel
    T1_injecte | T1 injecté | T1 avec injection | T1 après injection de gado | T1 con contraste
    T1 c/ contraste | T1 com contraste | T1 pós-contraste | T1 con mdc | T1 dopo mdc | T1 met contrast
    T1 na contrast | T1 增强 | T1增强 | T1 增强后 | T1 造影後 | T1 造影あり | T1 ガドリニウム
    AX T1 C+ FS | AX T1 C+ NON FS | AX T1 NON-FAT SAT POST | T1 pre-op GAD
"""
WITHOUT = """
    T1 C- | t1_c- | T1 (C-) | T1 -KM | T1 KM- | T1 IV- | t1n | T1 FS no C | AX T1 W/O CONTRAST | AX T1 W/O
    AX T1 WO | T1 w/out contrast | T1_without_contrast | AX T1 WITHOUT | T1 without IV contrast
    T1 non-contrast | T1 NoContrast | T1 no Gd | t1_nongd | T1 NONCON | T1 nonenhanced | T1 unenhanced
    T1 PRE | T1 pre-Gd | T1 SE pre Gd | T1 PRECON | T1 no fat sat pre | T1 before contrast | T1 ohne KM
    T1 vor KM | T1 o. KM | t1_tse_tra_oKM | T1 SE tra ohne | t1_nativ | T1 ungespritzt | T1_sans_gado
    T1 sans injection | T1 avant injection | T1 non injecté | T1 sin contraste | T1 antes del contraste
    T1 s/ contraste | T1 sem contraste | T1 pré | T1 senza mdc | T1 zonder contrast | T1 voor contrast
    T1 blanco | T1 平扫 | T1未增强 | T1 无增强 | T1 增强前 | T1 平掃 | T1 造影なし | T1 造影前 | T1単純 | T1 非造影
"""
SILENT = """
    T1 | AX T1 FS | AX T1 NON FS | AX T1 W/O FS | T1 post op | T1 postop | T1 post RT | t1_mpr_sag
    BRAIN W WO CONTRAST | MRI BRAIN W/WO CONTRAST | MRI brain with and without contrast
    Kopf mit und ohne KM | cerebro con y sin contraste | pre/post contrast T1
"""


@pytest.mark.parametrize(
    ("text", "contrast"),
    [
        (text, given)
        for texts, given in ((WITH, True), (WITHOUT, False), (SILENT, None))
        for text in re.split(r"[|\n]", texts)
        if text.strip()
    ],
)
def test_contrast(text, contrast):
    assert spoken(text).contrast is contrast


@pytest.mark.parametrize("text", ["NONE", "no", "N", "0", "", "No contrast", "ohne", "n/a", "-"])
def test_notes_of_no_agent(text):
    assert without_agent(text)


@pytest.mark.parametrize("text", ["Gadovist", "7.5 ml Dotarem", "GAD", "yes"])
def test_notes_of_an_agent(text):
    assert not without_agent(text)
