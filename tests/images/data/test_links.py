"""Images made from a small reference set with known patients and lesions, and unrelated ones."""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image

from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.errors import InputError
from btlib.images.data.hashing import orientations
from btlib.images.data.ingest import ingest
from btlib.images.data.links import COLUMNS, best_matches, is_link, linked_masks, read_links, read_reference
from btlib.images.data.reading import open_image, open_mask
from btlib.report.figures.links import link_figure
from tests.images.data.samples import brain, make_case, make_class_folders, save

SLICES = 8
PATIENTS = ("100360", "100360", "MR01", "MR01B", "3", "4", "5", "6")
LABELS = ("meningioma", "glioma", "pituitary")
DISTANCE, CORRELATION = 40, 0.98  # as in params.yaml


def view(image: np.ndarray, orientation: int) -> np.ndarray:
    return np.ascontiguousarray(orientations(image)[orientation])


def jpeg(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=70)


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(reference root, images root): eight slices of 96 × 104, and images made from them: path -> (slice, view)."""
    place = tmp_path_factory.mktemp("links")
    root, images = place / "reference", place / "images"
    for n in range(SLICES):
        make_case(root / f"part/{n}.mat", 1 + n % 3, PATIENTS[n], picture=n)
    made = {}
    shown = [open_image(root, f"part/{n}.mat") for n in range(SLICES)]
    for orientation in range(8):  # each slice in a different orientation, slice 0 in all
        made[f"{LABELS[orientation % 3]}/turned {orientation}.png"] = (orientation, orientation)
        made[f"meningioma/first {orientation}.png"] = (0, orientation)
    for path, (n, orientation) in made.items():
        save(images / path, view(shown[n], orientation))
    jpeg(images / "glioma/upright.jpg", shown[1])
    jpeg(images / "glioma/small.jpg", view(resized(shown[1], 61, 57), 4))
    save(images / "pituitary/large.png", view(resized(shown[2], 150, 170), 3))
    made |= {"glioma/upright.jpg": (1, 0), "glioma/small.jpg": (1, 4), "pituitary/large.png": (2, 3)}
    for n in range(4):
        save(images / f"no_tumor/{n}.png", np.repeat(resized(brain(100 + n), 104, 96)[..., None], 3, axis=2))
    return root, images, made


@pytest.fixture(scope="module")
def found(world):
    """The reference, the manifest, and all best matches by path."""
    root, images, _ = world
    reference = read_reference("figshare", root, None)
    manifest = ingest("folder", images, allow_unreadable=False)[0]
    matches = best_matches(manifest, images, reference)
    assert tuple(matches.columns) == COLUMNS
    assert matches["image_id"].tolist() == manifest["image_id"].tolist()
    return reference, manifest, matches.set_index(manifest["path"].to_numpy())


def test_every_image_is_linked_to_slice_orientation_and_patient(world, found):
    *_, made = world
    *_, matches = found
    linked = matches[is_link(matches, DISTANCE, CORRELATION)]
    assert sorted(linked.index) == sorted(made), "no unrelated image is linked"
    for path, (n, orientation) in made.items():
        row = linked.loc[path]
        assert (row.reference, row.orientation, row.patient) == (f"part/{n}.mat", orientation, PATIENTS[n]), path
        assert row.label == LABELS[n % 3]
    lossless = [path for path in made if path.endswith(".png") and "large" not in path]
    assert (linked.loc[lossless, "distance"] == 0).all() and (linked.loc[lossless, "correlation"] > 0.9999).all()
    assert 0 < linked.loc["glioma/small.jpg", "distance"] <= DISTANCE


def test_both_thresholds_apply(found):
    *_, matches = found
    frame = pd.DataFrame({"distance": [40, 41, 40], "correlation": [0.98, 0.99, 0.979999]})
    assert is_link(frame, 40, 0.98).tolist() == [True, False, False]
    strangers = matches[matches.index.str.startswith("no_tumor")]
    assert (strangers["correlation"] < 0.95).all() and len(strangers) == 4


def test_masks_match_the_lesion_in_the_images_own_orientation(world, found):
    root, images, made = world
    reference, manifest, matches = found
    links = matches[is_link(matches, DISTANCE, CORRELATION)]
    masks = linked_masks(links, manifest, root, reference)
    assert set(masks) == set(links["image_id"])
    for path, (n, orientation) in made.items():
        mask = masks[links.loc[path, "image_id"]]
        image = open_image(images, path)
        assert mask.dtype == bool and mask.shape == image.shape[:2], path
        by_hand = open_mask(root, f"part/{n}.mat")
        if orientation >= 4:
            by_hand = np.fliplr(by_hand)
        for _ in range(orientation % 4):
            by_hand = by_hand.T[::-1]  # rotated by 90° counterclockwise
        by_hand = resized(by_hand.astype(np.float32), *mask.shape[::-1]) > 0.5
        assert (mask ^ by_hand).sum() <= 0.15 * by_hand.sum(), path
        if mask.shape in ((96, 104), (104, 96)):
            np.testing.assert_array_equal(mask, by_hand)
        gray = image[..., 0].astype(float)
        assert gray[mask].mean() > gray[~mask].mean() + 60, f"{path}: the lesion is the brightest part"


def test_links_round_trip(found, tmp_path):
    *_, matches = found
    write_csv(tmp_path / "links.csv", matches)
    read = read_links(tmp_path / "links.csv")
    assert read["patient"].tolist() == matches["patient"].tolist()
    write_csv(tmp_path / "none.csv", matches[:0])
    assert list(read_links(tmp_path / "none.csv").columns) == list(COLUMNS)


def test_figure_shows_both_counts(found):
    *_, matches = found
    linked = is_link(matches, DISTANCE, CORRELATION)
    texts = [text.get_text() for text in link_figure(matches, linked, DISTANCE, CORRELATION).findobj(Text)]
    assert "linked: 19" in texts and "not linked: 4" in texts
    low, high = matches["correlation"][linked].min(), matches["correlation"][~linked].max()
    assert f"Linked from {low:.4f} on, others up to {high:.4f}" in texts


@pytest.mark.parametrize("all_linked", [True, False])
def test_the_figure_of_one_population(found, all_linked, tmp_path):
    *_, matches = found
    figure = link_figure(matches, np.full(len(matches), all_linked), DISTANCE, CORRELATION)
    assert "Best match of each image" in [text.get_text() for text in figure.findobj(Text)]
    figure.savefig(tmp_path / "links.png")


def test_a_reference_of_one_slice(world, tmp_path):
    _, images, _ = world
    make_case(tmp_path / "0.mat", 1, "P", picture=0)
    manifest = ingest("folder", images, allow_unreadable=False)[0]
    matches = best_matches(manifest, images, read_reference("figshare", tmp_path, None))
    assert set(matches["reference"]) == {"0.mat"}
    linked = is_link(matches, DISTANCE, CORRELATION)
    assert linked.sum() == 9  # in all orientations, and slice 0 rotated
    assert sorted(set(matches["orientation"][linked])) == list(range(8))


def class_folders_with_patients(root: Path, left_out: str = "") -> str:
    """A reference of images with a table; returns the table's name."""
    rows = []
    for n in range(2):
        save(root / f"glioma/{n}.png", np.repeat(brain(n)[..., None], 3, axis=2))
        mask = np.zeros(brain(n).shape, np.uint8)
        mask[20:30, 20:30] = 255
        if n == 0 or left_out != "mask":
            save(root / f"masks/{n}.png", mask)
        rows.append({"path": f"glioma/{n}.png", "patient": f"P{n}", "mask_path": f"masks/{n}.png"})
    table = pd.DataFrame(rows)
    table.loc[1, "patient"] = "" if left_out == "patient" else "P1"
    table.loc[1, "mask_path"] = "" if left_out == "mask" else "masks/1.png"
    write_csv(root / "slices.csv", table)
    return "slices.csv"


def test_reference_of_class_folders_may_be_incomplete(world, tmp_path):
    _, images, _ = world
    table = class_folders_with_patients(tmp_path, left_out="mask")
    reference = read_reference("folder", tmp_path, table)
    assert [entry.patient for entry in reference.entries] == ["P0", "P1"]
    manifest = ingest("folder", images, allow_unreadable=False)[0]
    matches = best_matches(manifest, images, reference)
    links = matches[is_link(matches, DISTANCE, CORRELATION)]
    assert set(links["patient"]) == {"P0", "P1"} and set(links["label"]) == {"glioma"}
    masks = linked_masks(links, manifest, tmp_path, reference)
    assert set(masks) == set(links["image_id"][links["patient"] == "P0"]), "a slice without a mask gives none"


def refused(source: str, root: Path, table: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_reference(source, root, table)
    return str(caught.value)


def test_missing_reference(tmp_path):
    assert refused("figshare", tmp_path / "absent").startswith(
        f"images.reference.root: {tmp_path / 'absent'}: no such folder; set images.reference.root in params.yaml"
    )
    assert "images.reference.root: " in refused("folder", tmp_path / "absent")


@pytest.mark.parametrize("source", ["figshare", "folder"])
def test_a_reference_without_slices(tmp_path, source):
    message = refused(source, tmp_path)
    assert f"1 fault(s):\n  - no slice found for source '{source}'" in message
    assert message.endswith("Repair or remove them, or check images.reference.source and its root.")


def test_reference_of_the_wrong_kind(tmp_path):
    make_case(tmp_path / "cases/1.mat")
    message = refused("folder", tmp_path / "cases")
    assert (
        "1.mat: not a supported kind of file (.bmp, .jfif, .jpe, .jpeg" in message
        and "check images.reference.source" in message
    )
    make_class_folders(tmp_path / "folders", per_class=1)
    message = refused("figshare", tmp_path / "folders")
    assert "4 fault(s)" in message and "glioma/00.png: not a supported kind of file (.mat)" in message


def test_every_faulty_slice_is_named(tmp_path):
    make_case(tmp_path / "good.mat")
    make_case(tmp_path / "nobody.mat", leave_out="PID")
    make_case(tmp_path / "nothing.mat")
    with h5py.File(tmp_path / "nothing.mat", "r+") as file:
        file["cjdata/tumorMask"][:] = 0
    make_case(tmp_path / "noimage.mat", leave_out="image")
    (tmp_path / "cut.mat").write_bytes((tmp_path / "good.mat").read_bytes()[:700])
    message = refused("figshare", tmp_path)
    assert "4 fault(s)" in message
    assert "nobody.mat: no field cjdata/PID" in message
    assert "nothing.mat: empty mask for nothing.mat, labelled glioma" in message
    assert "noimage.mat: no field cjdata/image" in message
    assert "cut.mat: not a valid MATLAB v7.3 file" in message
    assert "good.mat" not in message


def test_a_reference_of_images_needs_a_patient_for_each(tmp_path):
    message = refused("folder", tmp_path, class_folders_with_patients(tmp_path, left_out="patient"))
    assert (
        "1 fault(s):\n  - glioma/1.png: no patient (cjdata/PID, or `patient` in images.reference.annotations)"
        in message
    )
    message = refused("folder", tmp_path)
    assert "unknown class folder 'masks' with 2 image(s)" in message, "without the table they are images"


def test_table_of_the_reference_with_unknown_paths(tmp_path):
    table = class_folders_with_patients(tmp_path)
    with (tmp_path / table).open("a") as handle:
        handle.write("glioma/7.png,P7,\n")
    assert "slices.csv: 'glioma/7.png' is not one of the images" in refused("folder", tmp_path, table)
