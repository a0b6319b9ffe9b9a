import numpy as np
import pandas as pd
import pytest
from PIL import Image

from btlib.core.runtime.errors import InputError
from btlib.images.data.annotations import Annotation, annotated, read_annotations
from btlib.images.data.ingest import ingest
from btlib.images.data.sources.entry import Entry
from tests.images.data.samples import make_case, picture, save


def table(root, text: str) -> str:
    (root / "table.csv").write_text(text)
    return "table.csv"


def lesion(path, height: int = 24, width: int = 32) -> None:
    mask = np.zeros((height, width), np.uint8)
    mask[4:9, 5:20] = 255
    save(path, mask)


def ingested(root, name: str) -> pd.DataFrame:
    return ingest("folder", root, allow_unreadable=False, annotations=name)[0].set_index("path")


def refused(root, name: str, source: str = "folder") -> str:
    with pytest.raises(InputError) as caught:
        ingest(source, root, allow_unreadable=False, annotations=name)
    return str(caught.value)


def test_reading_a_table(tmp_path):
    name = table(tmp_path, "note,mask_path,path,patient\nx, m.png,a.png , 007\ny,,b.png,\n")
    assert read_annotations(tmp_path, name) == {"a.png": Annotation("007", "m.png"), "b.png": Annotation()}
    name = table(tmp_path, "path,patient\na.png,P1\n")
    assert read_annotations(tmp_path, name) == {"a.png": Annotation("P1", "")}
    assert read_annotations(tmp_path, table(tmp_path, "path,mask_path\n")) == {}
    assert read_annotations(tmp_path, None) == {}


def test_a_table_from_a_spreadsheet(tmp_path):
    text = "Path; Patient; Mask path\r\nglioma\\a.png; 007; masks\\a.png\r\n"
    name = table(tmp_path, text)
    assert read_annotations(tmp_path, name) == {"glioma/a.png": Annotation("007", "masks/a.png")}


@pytest.mark.parametrize("header", ["file,patient", "path,person"])
def test_a_table_without_a_column(tmp_path, header):
    with pytest.raises(InputError, match=rf"table\.csv: columns are {header.replace(',', ', ')}; expected path, one"):
        read_annotations(tmp_path, table(tmp_path, f"{header}\na.png,P1\n"))


def test_a_path_listed_twice(tmp_path):
    with pytest.raises(InputError, match=r"table\.csv: 1 path\(s\) are listed more than once:\n  - a\.png"):
        read_annotations(tmp_path, table(tmp_path, "path,patient\na.png,P1\nb.png,P1\na.png,P1\n"))


def test_long_cells_are_abbreviated(tmp_path):
    rows = "".join(f"{'a' * 9000}{number}.png,P1\n" * 2 for number in range(3))
    with pytest.raises(InputError, match=r"3 path\(s\)") as error:
        read_annotations(tmp_path, table(tmp_path, f"path,patient\n{rows}"))
    assert len(str(error.value)) < 1000


def test_table_that_is_missing_or_outside_the_root(tmp_path):
    with pytest.raises(InputError, match=r"absent\.csv: no such file"):
        read_annotations(tmp_path, "absent.csv")
    (tmp_path / "images").mkdir()
    table(tmp_path, "path,patient\n")
    with pytest.raises(InputError, match="leads out of its root folder"):
        read_annotations(tmp_path / "images", "../table.csv")


def test_annotations_fill_only_missing_fields():
    entries = [Entry("a.mat", "glioma", "P1", "a.mat"), Entry("b.png", "glioma"), Entry("c.png", "glioma")]
    said = {"a.mat": Annotation("P1", ""), "b.png": Annotation("P2", "m.png")}
    filled, faults = annotated(entries, said, "table.csv")
    assert faults == []
    assert filled == [entries[0], Entry("b.png", "glioma", "P2", "m.png"), entries[2]]


def test_manifest_has_patients_and_masks_and_masks_are_not_images(class_folders):
    lesion(class_folders / "masks/glioma 0.png")  # as an image it would be in an unknown class folder
    lesion(class_folders / "glioma/01 mask.png")  # as an image it would be a glioma
    name = table(
        class_folders,
        "path,patient,mask_path\nglioma/00.png,P1,./masks/glioma 0.png\nglioma/01.png,P1,glioma/01 mask.png\n"
        "no_tumor/02.png,P9,\n",
    )
    manifest = ingested(class_folders, name)
    assert len(manifest) == 12
    assert manifest["patient"][["glioma/00.png", "glioma/01.png", "no_tumor/02.png"]].tolist() == ["P1", "P1", "P9"]
    assert manifest["mask_path"]["glioma/01.png"] == "glioma/01 mask.png"
    assert (manifest["patient"] == "").sum() == 9 and (manifest["mask_path"] == "").sum() == 10
    without = refused(class_folders, None)
    assert "unknown class folder 'masks' with 1 image(s)" in without


def test_unknown_paths_are_named_with_every_other_fault(class_folders):
    (class_folders / "glioma/text.png").write_text("x")
    message = refused(class_folders, table(class_folders, "path,patient\nglioma/99.png,P1\n./glioma/00.png,P2\n"))
    assert "3 fault(s)" in message and "glioma/text.png" in message
    assert "table.csv: 'glioma/99.png' is not one of the images" in message
    assert "table.csv: './glioma/00.png' is not one of the images" in message


def test_faulty_table_is_never_allowed(class_folders):
    name = table(class_folders, "path,patient\nglioma/99.png,P1\n")
    with pytest.raises(InputError, match="is not one of the images"):
        ingest("folder", class_folders, allow_unreadable=True, annotations=name)


def test_unsuitable_masks(class_folders):
    lesion(class_folders / "masks/size.png", height=25)
    save(class_folders / "masks/empty.png", np.zeros((24, 32), np.uint8))
    name = table(
        class_folders,
        "path,mask_path\nglioma/00.png,masks/size.png\nglioma/01.png,masks/empty.png\nglioma/02.png,masks/gone.png\n"
        "no_tumor/00.png,masks/empty.png\n",
    )
    message = refused(class_folders, name)
    assert "3 fault(s)" in message, "an empty mask of a healthy brain is allowed"
    assert "masks/size.png: mask of (25, 32) rows and columns for glioma/00.png of (24, 32)" in message
    assert "masks/empty.png: empty mask for glioma/01.png, labelled glioma" in message
    assert "masks/gone.png: no such file" in message


def test_contradictions_with_the_data(tmp_path):
    make_case(tmp_path / "1.mat", patient="100360")
    make_case(tmp_path / "2.mat", patient="100361")
    Image.new("L", (40, 32)).save(tmp_path / "m.png")
    message = refused(tmp_path, table(tmp_path, "path,patient,mask_path\n1.mat,100360,\n2.mat,7,m.png\n"), "figshare")
    assert "table.csv: 2.mat: patient is '7', but the data say '100361'" in message
    assert "table.csv: 2.mat: mask_path is 'm.png', but the data say '2.mat'" in message
    assert "1.mat: " not in message


def test_phantoms_accept_a_table(tmp_path):
    rows = []
    for k, name in enumerate(("glioma", "meningioma", "no_tumor", "pituitary")):
        save(tmp_path / f"{k}.png", picture(k))
        rows.append((f"{k}.png", name, "", ""))
    pd.DataFrame(rows, columns=["path", "label", "patient", "mask_path"]).to_csv(tmp_path / "subjects.csv", index=False)
    name = table(tmp_path, "path,patient\n2.png,P2\n")
    manifest, _ = ingest("phantom", tmp_path, allow_unreadable=False, annotations=name)
    assert manifest["patient"].tolist() == ["", "", "P2", ""]
