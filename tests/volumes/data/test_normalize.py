import subprocess
import sys

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from monai.data import MetaTensor
from monai.transforms import (
    ClipIntensityPercentilesd,
    Compose,
    CropForegroundd,
    NormalizeIntensityd,
    Orientationd,
    Spacingd,
)
from scipy import ndimage

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.manifest import COLUMNS
from btlib.volumes.data.normalize import normalize, write_normalized
from btlib.volumes.data.store import case_path, load_case, load_index, save_case, to_native, write_nifti

LPS = np.diag([-1.0, -1, 1])
NATIVE_AXES = {
    "RAS": np.eye(3),
    "LPS": LPS,
    "coronal": np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "oblique": nib.eulerangles.euler2mat(0.3, -0.2, 0.15) @ np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
}
ALL = (0.0, 100.0)
HOLDER = """
import sys
from pathlib import Path

from btlib.core.runtime.lock import locked

with locked(Path(sys.argv[1]), "busy"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def affine_of(axes, spacing=1.0):
    return nib.affines.from_matvec(axes @ np.diag(np.broadcast_to(spacing, 3)), [50, 60, -40])


def textures(shape, smooth=2.0, seed=0):
    """Four modalities, positive everywhere: float32 [4, *shape] of mean 100, 200, 300, 400 and a spread of 10."""
    noise = np.random.default_rng(seed).normal(size=(4, *shape))
    noise = np.stack([ndimage.gaussian_filter(one, smooth) for one in noise])
    levels = 100.0 * np.arange(1, 5).reshape(4, 1, 1, 1)
    return (levels + 10 * noise / noise.std(axis=(1, 2, 3), keepdims=True)).astype(np.float32)


def ball(shape, radius, center=None):
    """bool [*shape], True within `radius` (of half the shape, when below 1) of the centre, in voxels."""
    middle = (np.array(shape) - 1) / 2 if center is None else np.asarray(center, float)
    offsets = np.indices(shape) - middle.reshape(3, 1, 1, 1)
    return (offsets**2).sum(axis=0) <= radius**2


def brain_images(shape=(40, 44, 36), radius=16, **more):
    return textures(shape, **more) * ball(shape, radius)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("spacing", [1.0, 3.0])
def test_zero_mean_and_unit_deviation_inside_zero_outside(spacing):
    case = normalize("c", brain_images(), None, affine_of(LPS), spacing, ALL)
    assert case.image.dtype == np.float16
    for channel in case.image.astype(np.float64):
        inside = channel[channel != 0]
        assert abs(inside.mean()) < 1e-3
        assert abs(inside.std() - 1) < 1e-3
    corner = case.image[:, 0, 0, 0]
    assert not corner.any()
    # a ball fills π/6 of its box
    assert abs(np.mean(case.image[0] != 0) - np.pi / 6) < 0.06


@pytest.mark.parametrize(("spacing", "tolerance"), [(1.0, 0.002), (3.0, 0.1)])
def test_matches_monai_dictionary_transforms(spacing, tolerance):
    """A brain that fills its box, so that MONAI's percentiles (of all voxels) equal those of the brain.

    At 1 mm only the rounding to float16 differs. MONAI does not smooth when shrinking, hence the smooth texture and
    the wider tolerance at 3 mm, in standard deviations of the brain.
    """
    images = np.zeros((4, 50, 52, 48), np.float32)
    images[:, 8:39, 5:48, 10:44] = textures((31, 43, 34), smooth=8.0)
    affine = affine_of(NATIVE_AXES["coronal"])
    chain = Compose(
        [
            Orientationd("image", "RAS", labels=None),
            CropForegroundd("image", "image", select_fn=lambda x: x != 0),
            Spacingd("image", [spacing] * 3, mode="bilinear"),
            ClipIntensityPercentilesd("image", 0.5, 99.5, channel_wise=True),
            NormalizeIntensityd("image", nonzero=True, channel_wise=True),
        ]
    )
    expected = chain({"image": MetaTensor(images, affine=affine)})["image"]
    case = normalize("c", images, None, affine, spacing, (0.5, 99.5))
    assert case.image.shape == expected.shape
    np.testing.assert_allclose(case.affine, expected.affine, atol=1e-6)
    difference = np.abs(case.image - expected.numpy())
    assert difference.max() < tolerance


def test_outlier_does_not_determine_the_scale():
    images = brain_images()
    expected = normalize("c", images, None, affine_of(LPS), 1.0, (0.5, 99.5)).image.astype(np.float64)
    spoilt = images.copy()
    spoilt[0, 20, 20, 20] = 1e6
    found = normalize("c", spoilt, None, affine_of(LPS), 1.0, (0.5, 99.5)).image.astype(np.float64)
    assert np.abs(found - expected).max() < 4  # at the outlier itself, which is clipped
    assert np.quantile(np.abs(found - expected), 0.999) < 0.01
    assert normalize("c", spoilt, None, affine_of(LPS), 1.0, ALL).image.max() > 50


def test_invariance_to_brightness_and_scanner_gain():
    images = brain_images()
    brain = images != 0
    gains = np.array([3.0, 0.01, 100.0, 1.0]).reshape(4, 1, 1, 1)
    first, second = (
        normalize("c", values, None, affine_of(LPS), 2.0, (0.5, 99.5)).image
        for values in (images, np.where(brain, images * gains + 5, 0).astype(np.float32))
    )
    np.testing.assert_allclose(first.astype(float), second.astype(float), atol=5e-3)


def test_the_edge_of_the_brain_is_not_darkened():
    """Mixed with zeros outside, a voxel at the edge would be up to 50 % too dark, here five standard deviations."""
    case = normalize("c", brain_images(), None, affine_of(LPS), 3.0, ALL)
    inside = case.image[0] != 0
    edge = inside & ~ndimage.binary_erosion(inside)
    assert abs(case.image[0][edge].astype(np.float64).mean()) < 0.3
    assert case.image.min() > -5


def test_thin_enhancing_rim_keeps_its_volume():
    """1 mm at 3 mm; with the images' smoothing, less than a tenth of it would remain."""
    shape = (48, 48, 48)
    radius = np.sqrt(((np.indices(shape) - np.array([23.3, 24.1, 22.8]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
    seg = np.select([radius < 11, radius < 12, radius < 18], [1, 3, 2], 0).astype(np.uint8)
    case = normalize("c", brain_images(shape, 23), seg, affine_of(LPS), 3.0, ALL)
    assert case.seg.dtype == np.uint8
    for label in (1, 2, 3):
        share_kept = np.count_nonzero(case.seg == label) * 27 / np.count_nonzero(seg == label)
        assert abs(share_kept - 1) < 0.15, label


def test_inner_label_wins_ties():
    """Each new voxel is at the centre of eight: four of one label, four of another."""
    for outer, inner in ((0, 1), (0, 2), (1, 3), (2, 3)):
        seg = np.full((8, 8, 8), outer, np.uint8)
        seg[::2] = inner
        case = normalize("c", textures(seg.shape, smooth=1.0), seg, np.eye(4), 2.0, ALL)
        assert np.unique(case.seg).tolist() == [inner]


@pytest.mark.parametrize("axes", NATIVE_AXES.values(), ids=NATIVE_AXES)
@pytest.mark.parametrize(("spacing", "bound"), [(1.0, 0.97), (2.0, 0.9)])
def test_lesion_returns_to_its_place(axes, spacing, bound):
    shape = (40, 44, 18)
    affine = affine_of(axes, (1.0, 1.0, 2.0))
    blob = (ball(shape, 9, (16, 25, 8)) & ~ball(shape, 5, (20, 28, 9))) * np.uint8(3)
    images = textures(shape) * (ball(shape, 14) | (blob > 0))
    case = normalize("c", images, blob, affine, spacing, ALL)
    native = to_native((case.seg == 3)[None].astype(np.float32), case)[0] >= 0.5
    assert dice(native, blob == 3) > bound
    assert (case.native_shape, case.native_affine.tolist()) == (shape, affine.tolist())


@pytest.mark.parametrize("axes", NATIVE_AXES.values(), ids=NATIVE_AXES)
def test_orientation_is_exact(axes):
    """At the input's spacing nothing is interpolated: three marked voxels and the image are recovered exactly."""
    images, affine = brain_images((20, 24, 22), 9), affine_of(axes)
    seg = np.zeros(images.shape[1:], np.uint8)
    for label, voxel in enumerate([(6, 12, 11), (10, 17, 12), (9, 10, 15)], start=1):
        seg[voxel] = label
    case = normalize("c", images, seg, affine, 1.0, ALL)
    assert nib.aff2axcodes(case.affine) == ("R", "A", "S")
    assert np.array_equal(to_native(case.seg[None], case, order=0)[0], seg)
    brain = images[0] != 0
    native = to_native(case.image, case)
    for channel, original in zip(native, images, strict=True):
        assert np.corrcoef(channel[brain], original[brain])[0, 1] > 0.99999
        assert np.abs(channel[~brain]).max() < 1e-5


def test_thick_slices():
    """5.5 mm between slices: interpolated across slices, downsampled within."""
    shape = (60, 60, 14)
    affine = affine_of(LPS, (1.0, 1.0, 5.5))
    offsets = (np.indices(shape) - (np.array(shape) - 1).reshape(3, 1, 1, 1) / 2) * np.array([1, 1, 5.5]).reshape(
        3, 1, 1, 1
    )
    brain = (offsets**2).sum(axis=0) <= 28**2
    lesion = ((offsets - 5) ** 2).sum(axis=0) <= 12**2
    case = normalize("c", textures(shape) * brain, lesion * np.uint8(2), affine, 3.0, ALL)
    np.testing.assert_allclose(nib.affines.voxel_sizes(case.affine), 3.0)
    slices = np.flatnonzero(brain.any(axis=(0, 1)))
    assert case.image.shape[3] == np.ceil(len(slices) * 5.5 / 3)
    native = to_native((case.seg == 2)[None].astype(np.float32), case)[0] >= 0.5
    assert dice(native, lesion) > 0.85


def test_volume_smaller_than_the_networks_input():
    case = normalize("c", textures((12, 10, 9), smooth=1.0), None, affine_of(LPS), 3.0, ALL)
    assert case.image.shape == (4, 4, 4, 3)
    assert np.isfinite(case.image).all()
    assert case.seg is None
    assert to_native(case.image, case).shape == (4, 12, 10, 9)


def test_a_modality_without_contrast():
    images = brain_images()
    images[2] = np.where(images[2] != 0, 7.3, 0)
    with pytest.raises(InputError, match=r"case p17: t2 has the same value in the whole brain; replace its file or"):
        normalize("p17", images, None, affine_of(LPS), 3.0, (0.5, 99.5))
    images[2] = 0
    with pytest.raises(InputError, match=r"case p17: t2 is zero in the whole brain; replace its file or"):
        normalize("p17", images, None, affine_of(LPS), 3.0, (0.5, 99.5))
    with pytest.raises(InputError, match=r"case p17: every voxel of every modality is zero; replace its files or"):
        normalize("p17", np.zeros_like(images), None, affine_of(LPS), 3.0, (0.5, 99.5))


@pytest.mark.parametrize(("spacing", "step", "voxels", "left"), [(6.0, 1, 64, "1"), (2.0, 3, 8, "none")])
def test_brain_that_the_spacing_leaves_nothing_of(spacing, step, voxels, left):
    """A cube of 4 mm that becomes one voxel, and its corners alone, none of which fills half of one."""
    images = np.zeros((4, 12, 12, 12), np.float32)
    place = np.s_[:, 3:7:step, 4:8:step, 5:9:step]
    images[place] = textures((4, 4, 4))[:, ::step, ::step, ::step]
    assert np.count_nonzero(images[0]) == voxels
    found = rf"^case p17: t1: of its {voxels} nonzero voxels, volumes\.spacing leaves {left} at least half filled with "
    with pytest.raises(InputError, match=found + r"brain; reduce volumes\.spacing, or"):
        normalize("p17", images, None, affine_of(LPS), spacing, ALL)


@pytest.fixture
def study(tmp_path):
    """Two cases as files, and their manifest; the second has neither segmentation nor grade."""
    rows = []
    for number, name in enumerate(("a", "b")):
        images = brain_images((20, 24, 22), 9, seed=number)
        seg = ball(images.shape[1:], 4) * np.uint8(3)
        case = normalize(name, images, seg, affine_of(LPS), 1.0, ALL)  # for its native grid
        for kind, volume in zip((*MODALITIES, "seg"), (*images, seg), strict=True):
            write_nifti(tmp_path / f"root/{name}/{kind}.nii.gz", volume, case)
        row = {"case": name, "patient": f"p{number}", "grade": "HGG", "labels": "canonical"}
        rows.append(row | {kind: f"{name}/{kind}.nii.gz" for kind in (*MODALITIES, "seg")})
    rows[1] |= {"grade": "", "seg": "", "labels": ""}
    return tmp_path / "root", pd.DataFrame(rows, columns=COLUMNS).fillna("")


def written(study, folder, finished, spacing=3.0):
    root, manifest = study
    write_normalized(folder, root, manifest, False, spacing, [0.5, 99.5], finished)


def test_a_whole_set(study, tmp_path):
    out, finished = tmp_path / "normalized", tmp_path / "finished"
    written(study, out, finished)
    assert sorted(path.name for path in out.iterdir()) == ["a.npy", "b.npy", "index.csv"]
    expected = {"case": ["a", "b"], "patient": ["p0", "p1"], "grade": ["HGG", ""], "has_seg": [True, False]}
    pd.testing.assert_frame_equal(load_index(out), pd.DataFrame(expected))
    images, seg = brain_images((20, 24, 22), 9, seed=0), ball((20, 24, 22), 4) * np.uint8(3)
    pure, loaded = normalize("a", images, seg, affine_of(LPS), 3.0, [0.5, 99.5]), load_case(out, "a")
    assert np.array_equal(loaded.image, pure.image)
    assert np.array_equal(loaded.seg, pure.seg)
    assert load_case(out, "b").seg is None
    assert (loaded.native_header.sform_code, loaded.native_header.qform_code) == (1, 1)
    assert np.array_equal(loaded.native_header.sform, affine_of(LPS))
    assert not finished.exists()
    first = (out / "a.npy").read_bytes()
    written(study, out, finished)
    assert (out / "a.npy").read_bytes() == first


def test_interrupted_run_resumes_with_missing_cases(study, tmp_path):
    """The finished case is marked to show whether it is reused or recomputed."""
    root, _ = study
    out, finished = tmp_path / "normalized", tmp_path / "finished"
    damaged = root / "b/flair.nii.gz"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"b/flair\.nii\.gz: not a valid NIfTI file"):
        written(study, out, finished)
    assert not out.exists()
    (kept,) = finished.glob("*.npy")
    case = normalize("a", brain_images((20, 24, 22), 9), None, affine_of(LPS), 3.0, ALL)
    save_case(kept, case._replace(image=np.full_like(case.image, 42)))

    def first_value():
        damaged.write_bytes(whole)
        written(study, out, finished)
        value = load_case(out, "a").image.flat[0]
        assert not finished.exists()
        return value

    backup = kept.read_bytes()
    assert first_value() == 42
    finished.mkdir()
    kept.write_bytes(backup)
    (root / "a/t1.nii.gz").write_bytes((root / "a/t2.nii.gz").read_bytes())  # other voxels: started over
    assert first_value() != 42


def test_damaged_finished_case_is_recomputed(study, tmp_path, capfd):
    """A single bit is enough, and so is a missing end."""
    root, _ = study
    out, finished = tmp_path / "normalized", tmp_path / "finished"
    written(study, out, finished)
    whole = (out / "a.npy").read_bytes()
    flair = root / "b/flair.nii.gz"
    content = flair.read_bytes()

    def interrupted():
        flair.write_bytes(content[:-100])
        with pytest.raises(InputError, match=r"b/flair\.nii\.gz: not a valid NIfTI file"):
            written(study, out, finished)
        flair.write_bytes(content)
        return next(finished.glob("*.npy"))

    def flipped(path, place):
        damaged = bytearray(path.read_bytes())
        damaged[place] ^= 1
        path.write_bytes(damaged)

    for damage in (
        lambda path: flipped(path, 11),  # in the header
        lambda path: flipped(path, len(whole) // 2),
        lambda path: path.write_bytes(whole[:-1]),
    ):
        damage(interrupted())
        capfd.readouterr()
        written(study, out, finished)
        assert "damaged or unfinished; it was removed, case a is normalised again\n" in capfd.readouterr().out
        assert (out / "a.npy").read_bytes() == whole


def test_grid_too_fine_for_memory(monkeypatch):
    monkeypatch.setattr("btlib.volumes.data.normalize.MAX_VOXELS", 10_000)
    images, affine = brain_images((24, 20, 22), 9), affine_of(LPS)
    assert normalize("c", images, None, affine, 1.0, ALL).image[0].size < 10_000
    with pytest.raises(
        InputError, match=r"^case c: 36×36×36 voxels of 0.5 mm around its brain, more than the 10,000 al"
    ):
        normalize("c", images, None, affine, 0.5, ALL)


def test_other_parameters_start_over(study, tmp_path):
    out, finished = tmp_path / "normalized", tmp_path / "finished"
    (study[0] / "b/t1.nii.gz").rename(tmp_path / "t1.nii.gz")
    with pytest.raises(InputError, match=r"b/t1\.nii\.gz: no such file"):
        written(study, out, finished)
    (tmp_path / "t1.nii.gz").rename(study[0] / "b/t1.nii.gz")
    written(study, out, finished, spacing=2.0)
    assert nib.affines.voxel_sizes(load_case(out, "a").affine).tolist() == [2.0, 2.0, 2.0]


def test_second_process_is_refused_until_the_first_has_ended(study, tmp_path):
    out, finished = tmp_path / "normalized", tmp_path / "finished"
    command = [sys.executable, "-c", HOLDER, str(finished.with_suffix(".lock"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(InputError, match=r"normalized: another process is normalising volumes here; wait until"):
            written(study, out, finished)
        assert not out.exists() and not finished.exists()
        other.kill()
    written(study, out, finished)
    assert load_case(out, "a").image.any()


def test_failure_keeps_the_earlier_output(study, tmp_path):
    out, finished = tmp_path / "normalized", tmp_path / "finished"
    written(study, out, finished)
    before = case_path(out, "a").read_bytes()
    study[1].loc[1, "t2"] = "b/nowhere.nii.gz"
    with pytest.raises(InputError, match=r"b/nowhere\.nii\.gz: no such file"):
        written(study, out, finished)
    assert case_path(out, "a").read_bytes() == before
