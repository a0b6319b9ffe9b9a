import pandas as pd

from btlib.core.runtime.artifacts import write_csv
from btlib.images.data.manifest import image_id, read_manifest


def test_ids_like_numbers_or_missing_values_stay_text(tmp_path):
    row = {"image_id": "7", "path": "7.png", "label": "glioma", "patient": "0042", "source": "folder"}
    row |= {"sha256": "1" * 64, "phash": "0" * 64, "width": 20, "height": 30, "mask_path": ""}
    write_csv(tmp_path / "manifest.csv", pd.DataFrame([row, row | {"patient": ""}]))
    read = read_manifest(tmp_path / "manifest.csv")
    assert read.iloc[0].to_dict() == row
    assert read.patient.tolist() == ["0042", ""]


def test_image_ids_are_safe_stable_and_distinct():
    paths = ["Training/glioma/a b.jpg", "Training/glioma/a-b.jpg", "Testing/glioma/a b.jpg", "x/ünï/../é.png"]
    ids = [image_id(path) for path in paths]
    assert len(set(ids)) == 4
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") for name in ids)
    assert ids[0] == "a-b-" + ids[0][-12:]
    assert image_id(paths[0]) == ids[0]
    assert len(image_id("y" * 300 + ".png")) < 80
