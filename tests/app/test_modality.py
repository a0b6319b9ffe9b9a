"""Assignment of volumes to modalities, and refusals."""

import pytest

from btlib.app.scans.enhancement import Enhancement
from btlib.app.scans.modality import Basis, Candidate, Proposal, Source, checked, choose, proposals_of
from btlib.app.scans.modality_words import Words, spoken
from btlib.core.runtime.errors import InputError

REST = ("T2", "FLAIR")
FOR, AGAINST, UNDECIDED, SAME = Enhancement.FOR, Enhancement.AGAINST, Enhancement.UNDECIDED, Enhancement.SAME


def named(*names, **agents):
    """A candidate for each name; `agents`: contrast agent by the tags of some."""
    return [Candidate((name,), spoken(name), "its name says so", agents.get(name)) for name in names]


def taken(candidates, stated=()):
    choice = choose("c", candidates, dict(stated))
    return {modality: one.file for modality, one in choice.taken.items()}, choice.basis


@pytest.mark.parametrize(
    ("t1", "t1ce", "basis"),
    [
        ("T1 W/O CONTRAST", "T1 W/", Basis.NAMED),
        ("T1", "T1 POST", Basis.NAMED),
        ("T1 sans gado", "T1 SE", Basis.LEFT_OVER),
        ("T1 A", "T1 B", Basis.GUESSED),
    ],
)
def test_the_two_t1_by_their_names(t1, t1ce, basis):
    expected = {"t1": t1, "t1ce": t1ce, "t2": "T2", "flair": "FLAIR"}
    assert taken(named(t1, t1ce, *REST)) == (expected, basis)
    if basis is not Basis.GUESSED:
        assert taken(named(*REST, t1ce, t1)) == (expected, basis)


def test_tags_decide_if_names_are_silent():
    files, basis = taken(named("T1_A", "T1_B", *REST, T1_B=True))
    assert (files["t1"], files["t1ce"], basis) == ("T1_A", "T1_B", Basis.NAMED)
    files, basis = taken(named("T1_A", "T1_B", *REST, T1_B=False))  # only one is known to be native
    assert (files["t1"], files["t1ce"], basis) == ("T1_B", "T1_A", Basis.LEFT_OVER)


def test_words_override_an_agent_noted_on_both():
    files, _ = taken(named("T1_PRE", "T1_POST", *REST, T1_PRE=True, T1_POST=True))
    assert (files["t1"], files["t1ce"]) == ("T1_PRE", "T1_POST")


@pytest.mark.parametrize("agents", [{"T1_PRE": True}, {"T1_PRE": True, "T1_POST": False}, {"T1_POST": False}])
def test_tags_against_names_are_refused(agents):
    with pytest.raises(InputError, match=r"T1_POST is with contrast .* T1_PRE without, but their tags say the reverse"):
        taken(named("T1_PRE", "T1_POST", *REST, **agents))
    taken(named("T1_PRE", "T1_POST", *REST, **agents), {"t1": "T1_PRE", "t1ce": "T1_POST"})  # allowed if stated


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("T1 C+ NON FS", "T1 C+ FS", *REST), "0 of t1, 2 of t1ce, 1 of t2, 1 of flair"),
        (("T1", "T1 post", "T1 post fs", *REST), "1 of t1, 2 of t1ce"),
        (("T1 pre", "T1 nativ", *REST), "2 of t1, 0 of t1ce"),
        (("T1", "T1 post", "FLAIR"), "1 of t1, 1 of t1ce, 0 of t2, 1 of flair"),
        (("T1", "T1 post", "T2", "T2 tra", "FLAIR"), "1 of t1, 1 of t1ce, 2 of t2, 1 of flair"),
        ((), "0 of t1, 0 of t1ce, 0 of t2, 0 of flair"),
    ],
)
def test_one_of_each_is_needed(names, found):
    with pytest.raises(InputError) as error:
        taken(named(*names))
    assert f"case c: expected one volume of each modality, found {found}" in str(error.value)
    assert '{"t1": "FILE", "t1ce": "FILE", "t2": "FILE", "flair": "FILE"}, or give --t1 FILE' in str(error.value)


def test_refusal_lists_the_likeliest_first():
    with pytest.raises(InputError) as error:
        taken(named("T1 mask", "x", "FLAIR", "T1"))
    shown = [line.split(":")[0].strip(" -") for line in str(error.value).splitlines()[1:]]
    assert shown == ["T1", "FLAIR", "x", "T1 mask"]


def test_statement_overrides_names():
    files = {"t1": "a", "t1ce": "T1", "t2": "T1 post", "flair": "T2"}
    assert taken(named("a", "T1", "T1 post", "T2"), files) == (files, Basis.STATED)


def test_statement_may_be_partial():
    stated = {"t1": "T1 x", "t1ce": "T1 y"}
    assert taken(named("T1 x", "T1 y", "T1 z", *REST), stated) == (
        stated | {"t2": "T2", "flair": "FLAIR"},
        Basis.STATED,
    )
    files, basis = taken(named("T1 pre", "T1 post", "T1 post fs", *REST), {"t1ce": "T1 post fs"})
    assert (files["t1"], basis) == ("T1 pre", Basis.NAMED)


SERIES = [Candidate((f"{name}/1", f"{name}/2"), spoken(name), "", dicom=True) for name in ("T1", "T1_post", *REST)]


def test_series_are_stated_by_their_folder_or_any_file():
    assert taken(SERIES, {"t1": "T1_post", "t1ce": "T1/2"})[0]["t1"] == "T1_post/1"
    with pytest.raises(InputError, match=r"t1 is '\.', the folder of 4 series; name the first file of one"):
        taken(SERIES, {"t1": "."})


STACK = Candidate(("stack.nii.gz",), Words(None, None), "holds 4 volumes", volumes=4)


def test_volumes_of_a_4d_file_are_stated_by_number():
    files = {"t1": "stack.nii.gz#3", "t1ce": "stack.nii.gz#0", "t2": "stack.nii.gz#1", "flair": "stack.nii.gz#2"}
    assert taken([STACK], files) == (files, Basis.STATED)
    with pytest.raises(InputError, match=r"0 of flair.* counted from 0, as in stack\.nii\.gz#0"):
        taken([STACK])


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"t1": "x" * 5000}, r"case\.json: t1 is 'x{198}…, not a volume of the case"),
        (
            {"t1": "gone.nii"},
            r"case\.json: t1 is 'gone\.nii', not a volume of the case\. The volumes are:\n  - T1: t1 \(",
        ),
        ({"t1": "../T1"}, "not a volume of the case"),
        ({"t1": "T1", "t2": "T1"}, "names one volume for two modalities"),
    ],
)
def test_wrong_statements_are_refused(stated, message):
    with pytest.raises(InputError, match=message):
        taken(named("T1", "T1 post", *REST), stated)


def against_image(t1, t1ce, image, stated=()):
    return checked("c", choose("c", named(t1, t1ce, *REST), dict(stated)), image)


def test_image_confirms_or_is_inconclusive():
    choice, faults, remarks = against_image("T1", "T1 post", FOR)
    assert (faults, remarks) == ([], [])
    assert choice.sources["t1ce"] == Source("T1 post", "its name says so; the image agrees")
    choice, faults, remarks = against_image("T1", "T1 post", UNDECIDED)
    assert (faults, remarks) == ([], []) and choice.sources["t1ce"].why.endswith("; the images are inconclusive")


@pytest.mark.parametrize(
    ("t1", "t1ce", "image", "message"),
    [
        ("T1 pre", "T1 post", AGAINST, "brighter in T1 pre, taken for T1, than in T1 post, taken for T1 with contrast"),
        ("T1 pre", "T1", AGAINST, "brighter in T1 pre, taken for T1, than in T1"),
        ("T1 pre", "T1", UNDECIDED, "unclear which of T1 pre and T1 was acquired with contrast; the images are"),
        ("T1 a", "T1 b", FOR, "unclear which of T1 a and T1 b was acquired with contrast; by the images it is T1 b"),
        ("T1 a", "T1 b", AGAINST, "with contrast; by the images it is T1 a, which is brighter"),
        ("T1 a", "T1 b", UNDECIDED, "the images are inconclusive"),
        ("T1", "T1 post", SAME, "T1 and T1 post are the same image"),
    ],
)
def test_image_contradictions_are_refused(t1, t1ce, image, message):
    _, (fault,), _ = against_image(t1, t1ce, image)
    assert message in fault


def test_refusal_suggests_a_statement():
    _, (fault,), _ = against_image("T1 pre", "T1 post", AGAINST)
    assert fault.endswith(
        'If that is right, write a case.json in the folder: {"t1": "T1 post", "t1ce": "T1 pre", "t2": "T2", '
        '"flair": "FLAIR"}, or give all four with --t1, --t1ce, --t2 and --flair'
    )


def test_statement_against_the_image_adds_a_remark():
    stated = {"t1": "T1 a", "t1ce": "T1 b"}
    _, faults, remarks = against_image("T1 a", "T1 b", AGAINST, stated)
    assert faults == [] and remarks == [
        "as stated, but vessels and lesion are brighter in T1 a, taken for T1, than in T1 b, taken for T1 with contrast"
    ]


def test_proposals_include_every_volume():
    found = proposals_of([*named("T1 mask", "T2", "T1 post"), STACK])
    assert found == [
        Proposal("T1 post", "t1ce", "its name says so"),
        Proposal("T2", "t2", "its name says so"),
        Proposal("T1 mask", None, "its name says so"),
        *(Proposal(f"stack.nii.gz#{number}", None, "holds 4 volumes") for number in range(4)),
    ]
