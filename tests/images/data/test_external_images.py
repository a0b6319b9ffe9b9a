"""External sets: both layouts, and every fault with its message."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from btlib.core.runtime.errors import InputError
from btlib.images.data.external import external_images
from btlib.images.data.sources.entry import Entry
from btlib.images.data.tumor_or_none import kind_of
from tests.images.data.samples import picture, save


@pytest.fixture
def hospital(tmp_path):
    """Two patients with one slice of either kind, the masks of their tumours, and a table of both."""
    root = tmp_path / "hospital"
    rows = []
    for number, patient in enumerate(("A", "B")):
        for kind in ("Tumour", "none"):
            path = f"{kind}/{patient}.png"
            save(root / path, picture(10 * number + len(kind)))
            mask = f"masks/{patient}.png" if kind == "Tumour" else ""
            if mask:
                save(root / mask, mask_of((24, 32)))
            rows.append({"path": path, "patient": patient, "mask_path": mask})
    pd.DataFrame(rows).to_csv(root / "slices.csv", index=False)
    return root


def mask_of(shape):
    mask = np.zeros(shape, np.uint8)
    mask[4:9, 4:9] = 255
    return mask


def found(root, table="slices.csv", layout="tumour_folders"):
    return external_images("elsewhere", root, layout, table, root.parent / "training")


def refused(root, **words):
    with pytest.raises(InputError, match="external 'elsewhere'") as caught:
        found(root, **words)
    return str(caught.value)


@pytest.mark.parametrize("name", ["tumour", "TUMOR", "tumors", "Tumours", "yes"])
def test_names_of_folders_with_a_tumor(name):
    assert kind_of(name) == "tumor"


@pytest.mark.parametrize("name", ["none", "No", "notumor", "no_tumor", "No Tumor", "no-tumour", "healthy", "Normal"])
def test_names_of_folders_without(name):
    assert kind_of(name) == "no_tumor"


def test_tumor_folders_with_patients_and_masks(hospital):
    assert found(hospital) == [
        Entry("Tumour/A.png", "tumor", "A", "masks/A.png"),
        Entry("Tumour/B.png", "tumor", "B", "masks/B.png"),
        Entry("none/A.png", "no_tumor", "A"),
        Entry("none/B.png", "no_tumor", "B"),
    ]


def test_masks_may_be_beside_their_images(hospital):
    (hospital / "masks/A.png").rename(hospital / "Tumour/A_mask.png")
    table = pd.read_csv(hospital / "slices.csv").replace("masks/A.png", "./Tumour//A_mask.png")
    table.to_csv(hospital / "slices.csv", index=False)
    assert [entry.path for entry in found(hospital)] == ["Tumour/A.png", "Tumour/B.png", "none/A.png", "none/B.png"]


def test_label_comes_from_any_depth_without_a_table(tmp_path):
    save(tmp_path / "site/yes/patient 3/s.JPG", picture(1))
    save(tmp_path / "site/patient 4/no/s.png", picture(2))
    assert found(tmp_path, None) == [
        Entry("site/patient 4/no/s.png", "no_tumor"),
        Entry("site/yes/patient 3/s.JPG", "tumor"),
    ]


def test_class_folders_may_be_incomplete(tmp_path):
    save(tmp_path / "Glioma Tumor/a.png", picture(1))
    save(tmp_path / "notumor/b.png", picture(2))
    assert found(tmp_path, None, "class_folders") == [
        Entry("Glioma Tumor/a.png", "glioma"),
        Entry("notumor/b.png", "no_tumor"),
    ]


def test_class_folders_with_masks_and_unknown_folders(tmp_path):
    save(tmp_path / "glioma/a.png", picture(1))
    save(tmp_path / "masks/a.png", mask_of((24, 32)))
    (tmp_path / "t.csv").write_text("path,mask_path\nglioma/a.png,masks/a.png\n")
    assert found(tmp_path, "t.csv", "class_folders") == [Entry("glioma/a.png", "glioma", "", "masks/a.png")]
    said = refused(tmp_path, table=None, layout="class_folders")
    assert "1 fault(s)" in said and "unknown class folder 'masks' with 1 image(s)" in said


def test_a_missing_root_and_one_that_is_a_file(tmp_path):
    assert "the root of external 'elsewhere': " in refused(tmp_path / "absent")
    assert "absent: no such folder; set the root of external 'elsewhere' in params.yaml" in refused(tmp_path / "absent")
    (tmp_path / "file").touch()
    assert "is a file, not a folder" in refused(tmp_path / "file")


@pytest.mark.parametrize(
    ("training", "where"),
    [
        ("hospital", "is images.root"),
        (".", "is inside images.root"),
        ("hospital/Tumour", "contains images.root"),
        ("linked", "is images.root"),
    ],
)
def test_root_that_overlaps_with_training_images(hospital, training, where):
    (hospital.parent / "linked").symlink_to(hospital)
    with pytest.raises(InputError, match=rf"external 'elsewhere': .*hospital {where} .*use a separate folder"):
        external_images("elsewhere", hospital, "tumour_folders", "slices.csv", hospital.parent / training)


def test_root_whose_name_begins_like_the_training_root(hospital):
    assert len(external_images("elsewhere", hospital, "tumour_folders", "slices.csv", hospital.with_name("hosp"))) == 4


def test_an_empty_root(tmp_path):
    (tmp_path / "empty").mkdir()
    for layout in ("tumour_folders", "class_folders"):
        said = refused(tmp_path / "empty", table=None, layout=layout)
        assert f"no image found for layout '{layout}'; check the folder and its layout" in said


def test_unknown_folders(hospital):
    save(hospital / "metastasis/a.png", picture(1))
    save(hospital / "loose.png", picture(2))
    save(hospital / "Tumour/no/a.png", picture(3))
    save(hospital / "Tumour/x/yes/a.png", picture(4))
    said = refused(hospital)
    assert "4 fault(s)" in said
    assert "unknown folder 'metastasis' with 1 image(s); known names, ignoring case" in said
    assert "Tumour/x/yes: images inside both 'Tumour' and 'yes'" in said
    assert "no label folder for 1 image(s)" in said
    assert "Tumour/no: images inside both 'Tumour' and 'no'; one must name the label" in said


def test_mask_missing_from_the_table_is_unknown(hospital):
    assert "unknown folder 'masks' with 2 image(s)" in refused(hospital, table=None)


def test_faults_of_the_table(hospital):
    table = pd.read_csv(hospital / "slices.csv", keep_default_na=False)
    table.loc[0, "path"] = "Tumour/absent.png"
    table.to_csv(hospital / "slices.csv", index=False)
    assert "slices.csv: 'Tumour/absent.png' is not one of the images" in refused(hospital)
    assert "annotations: other.csv: no such file" in refused(hospital, table="other.csv")
    (hospital / "slices.csv").write_text("name\na\n")
    assert "slices.csv: columns are name; expected path" in refused(hospital)


def test_a_mask_of_another_size_and_one_that_is_missing(hospital):
    save(hospital / "masks/A.png", mask_of((24, 31)))
    (hospital / "masks/B.png").unlink()
    said = refused(hospital)
    assert "masks/A.png: mask of (24, 31) rows and columns for Tumour/A.png of (24, 32)" in said
    assert "masks/B.png: no such file" in said
    assert "2 fault(s)" in said


def test_unreadable_files_are_named_once_and_all_together(hospital):
    (hospital / "none/A.png").write_bytes(b"")
    (hospital / "none/scan.dcm").write_bytes(b"x")
    Image.new("RGB", (32, 32), "grey").save(hospital / "none/blank.png")
    (hospital / "none/B.png").unlink()
    (hospital / "none/B.png").symlink_to(hospital / "nowhere.png")
    said = refused(hospital)
    for part in (
        "4 fault(s)",
        "none/A.png: zero bytes",
        "none/scan.dcm: not a supported kind of file",
        "none/blank.png: blank",
        "none/B.png: no such file (a dangling link",
        "Repair or remove them.",
    ):
        assert part in said
