"""Modality and contrast agent of a DICOM series from its tags."""

import pytest
from pydicom import Dataset

from btlib.app.scans.modality_tags import agent_of, words_of

TIMES = ("EchoTime", "RepetitionTime", "InversionTime")


def tags(words="", protocol="", times=(), sequence="SE", **more):
    found = Dataset()
    found.SeriesDescription, found.ProtocolName, found.ScanningSequence = words, protocol, sequence
    for name, value in [*zip(TIMES, times, strict=False), *more.items()]:
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("words", "by", "series"),
    [
        (("t1", None), "its description and its times", tags("Ax T1 SE", times=(10, 500))),
        (("t1", False), "its description and its times", tags("AX T1 W/O CONTRAST", times=(10, 500))),
        (("t1", True), "its description and its times", tags("SAG 3D T1 MPRAGE +C", times=(3, 2000, 900))),
        (("t1", None), "its description and its times", tags("AX T1 FLAIR", times=(10, 2200, 860))),
        (("flair", None), "its description and its times", tags("t2_tirm_tra_dark-fluid", times=(90, 9000, 2500))),
        (("t2", None), "its protocol name", tags("unnamed", protocol="T2_TSE_TRA")),
        (("t1", True), "its protocol name", tags("post contrast", protocol="T1_SE")),
        (("t1", None), "its times", tags(times=(10, 500))),
        (("t2", None), "its times", tags("tra", times=(95, 5000))),
        (("flair", None), "its times", tags(times=(140, 8800, 2400))),
        ((None, None), "", tags(times=(15, 2500))),  # proton density
        ((None, None), "", tags(times=(95, 5000), sequence=["EP", "SE"])),  # echo-planar
        ((None, None), "", tags(times=(95, 5000), SequenceName="*ep2d")),
        ((None, None), "its description and its times contradict each other", tags("AX T2", times=(120, 9000, 2500))),
        ((None, None), "", tags("T1 in T2 space")),
        (("other", None), "its description", tags("ep2d_diff ADC", times=(95, 5000))),
        (("other", None), "its description", tags("LOCALIZER T1", times=(10, 500))),
    ],
)
def test_series(words, by, series):
    assert words_of(series) == (words, by)


@pytest.mark.parametrize(
    ("given", "noted"),
    [
        (None, {}),
        (None, {"ContrastBolusAgent": "", "ContrastBolusVolume": 0}),
        (True, {"ContrastBolusAgent": "Gadovist"}),
        (True, {"ContrastBolusIngredient": "GADOLINIUM"}),
        (True, {"ContrastBolusVolume": 7.5}),
        (True, {"ContrastBolusTotalDose": 7.5}),
        (False, {"ContrastBolusAgent": "NONE"}),
        (False, {"ContrastBolusAgent": "no contrast", "ContrastBolusVolume": 7.5}),
        (True, {"ContrastBolusAgent": "Gadovist", "ContrastBolusStartTime": "101500", "AcquisitionTime": "102000.5"}),
        (False, {"ContrastBolusAgent": "Gadovist", "ContrastBolusStartTime": "101500", "AcquisitionTime": "100500"}),
    ],
)
def test_notes_on_the_agent(given, noted):
    assert agent_of(tags(**noted)) is given
