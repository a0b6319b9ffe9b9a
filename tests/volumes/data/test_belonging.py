"""Copies of a scan under two names, and lesions outside the brain."""

import numpy as np
import pytest

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.belonging import check_lesion, copies
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.ingest import ingest
from btlib.volumes.data.volume import Volume
from tests.volumes.data.volume_samples import AFFINE, brain, labels, make_brats2020, save


def volumes(seg=None):
    """The four scans of a case, and its segmentation."""
    files = dict(zip(MODALITIES, map(brain, range(4)), strict=True)) | ({} if seg is None else {"seg": seg})
    return {name: Volume(f"{name}.nii", values.astype(np.float32), AFFINE, True) for name, values in files.items()}


def replaced(found, name, values):
    return found | {name: found[name]._replace(values=values)}


def test_four_scans_are_no_copies():
    assert copies("c", volumes()) == []


@pytest.mark.parametrize("changed", [lambda v: v.copy(), lambda v: np.rint(v * 0.37) + 5 * (v > 0), lambda v: v / 1e4])
def test_copies_are_named_also_with_other_intensities(changed):
    found = volumes()
    assert copies("c", replaced(found, "t1ce", changed(found["t1"].values))) == [
        "case c: t1 and t1ce are the same scan (t1.nii, t1ce.nii); replace the wrong one, or remove the case"
    ]


def test_similar_scans_are_no_copies():
    """T1 and T1ce without uptake: the same brain with independent noise of 1 % of its spread."""
    found = volumes()
    t1 = found["t1"].values
    noise = np.random.default_rng(0).normal(0, 0.02 * t1[t1 > 0].std(), t1.shape)
    assert copies("c", replaced(found, "t1ce", np.where(t1 > 0, t1 + noise, 0))) == []


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_broken_volumes_are_left_to_their_own_faults(value):
    found = volumes()
    broken = np.full_like(found["t1"].values, value)
    assert copies("c", replaced(replaced(found, "t2", broken), "t1", found["t1"].values)) == []
    assert copies("c", replaced(found, "flair", found["t1"].values[:-1])) == []


def lesion(inside, outside):
    """A segmentation with so many voxels in the brain, which begins at voxel 1 of each axis, and outside."""
    seg = np.zeros((8, 9, 10), np.uint8)
    spread = np.zeros(336, np.uint8)
    spread[:inside] = 1
    seg[1:7, 1:8, 1:9] = spread.reshape(6, 7, 8)
    seg[0].flat[:outside] = 3
    return seg


@pytest.mark.parametrize(("inside", "outside", "share"), [(200, 0, ""), (199, 1, ""), (30, 10, "25%"), (20, 20, "50%")])
def test_lesion_partly_outside_the_brain(inside, outside, share):
    seg = lesion(inside, outside)
    found = check_lesion(seg, volumes(seg))
    assert len(found) == bool(share)
    assert all(f"seg.nii: {share} of the lesion is outside the brain, where all four" in text for text in found)


def test_lesion_mostly_outside_the_brain():
    seg = lesion(10, 30)
    with pytest.raises(InputError, match=r"^seg\.nii: 75% of the lesion is outside the brain.*: replace it, or remove"):
        check_lesion(seg, volumes(seg))
    assert check_lesion(seg * 0, volumes(seg)) == []


def test_value_0_in_some_modalities_is_still_brain():
    seg = lesion(0, 9)
    found = volumes(seg)
    assert check_lesion(seg, replaced(found, "t2", found["t2"].values + 1)) == []


def test_ingest_reports_both(tmp_path):
    first, second, third = make_brats2020(tmp_path, "HLH")
    save(tmp_path / third / f"{third}_seg.nii.gz", np.where(lesion(30, 10), 2, 0).astype(np.uint8))
    assert any(
        text.startswith(f"case {third}: {third}/{third}_seg.nii.gz: 25% of the lesion")
        for text in ingest(tmp_path, resample=False)[1]
    )
    source = tmp_path / first / f"{first}_t1.nii.gz"
    source.with_name(f"{first}_flair.nii.gz").write_bytes(source.read_bytes())
    save(tmp_path / second / f"{second}_seg.nii.gz", np.roll(labels(), 5, axis=0))
    with pytest.raises(InputError, match=r"2 fault\(s\)") as caught:
        ingest(tmp_path, resample=False)
    assert f"case {first}: t1 and flair are the same scan ({first}/{first}_t1.nii.gz, " in str(caught.value)
    assert f"{second}/{second}_seg.nii.gz: 67% of the lesion is outside the brain" in str(caught.value)
