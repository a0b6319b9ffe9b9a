import pandas as pd
import pytest

from btlib.core.runtime.errors import InputError
from btlib.images.data.own_splits import own_split

MANIFEST = pd.DataFrame({"image_id": ["a-1", "b-2", "c-3"], "path": ["x/a.png", "x/b.png", "y/c.png"]})


def written(root, text: str) -> None:
    (root / "split.csv").write_text(text)


def refused(root, text: str) -> str:
    written(root, text)
    with pytest.raises(InputError) as caught:
        own_split(root, "split.csv", MANIFEST)
    return str(caught.value)


def test_no_table(tmp_path):
    assert own_split(tmp_path, None, MANIFEST) is None


@pytest.mark.parametrize(
    "text",
    [
        "path,split\ny/c.png,test\nx/a.png,train\nx/b.png,val\n",
        "split,image_id\ntest,c-3\ntrain,a-1\nval,b-2\n",
        "Split; Path\r\ntest; y\\c.png\r\ntrain; x\\a.png\r\nval; x\\b.png\r\n",
        "image_id,split,path\nwhatever,val,x/b.png\nelse,train,x/a.png\nmore,test,y/c.png\n",  # path takes precedence
    ],
)
def test_split_has_the_order_of_the_manifest(tmp_path, text):
    written(tmp_path, text)
    assert own_split(tmp_path, "split.csv", MANIFEST).tolist() == ["train", "val", "test"]


def test_ids_like_numbers(tmp_path):
    written(tmp_path, "image_id,split\n007,train\n08,val\n")
    assert own_split(tmp_path, "split.csv", MANIFEST[:2].assign(image_id=["007", "08"])).tolist() == ["train", "val"]


def test_all_faults_are_listed(tmp_path):
    message = refused(tmp_path, "path,split\nx/a.png,train\nx/a.png,val\nz.png,Train\nx/b.png,\n")
    assert message.splitlines() == [
        "split.csv: 5 fault(s):",
        "  - 'x/a.png' is listed more than once",
        "  - 'z.png' is not one of the images, or was excluded by the audit",
        "  - 'y/c.png' is not in the table",
        "  - unknown split ''; known: train, val, test",
        "  - unknown split 'Train'; known: train, val, test",
    ]


@pytest.mark.parametrize("header", ["path,fold", "file,split"])
def test_a_table_without_a_column(tmp_path, header):
    expected = f"split.csv: columns are {header.replace(',', ', ')}; expected split, one of path or image_id"
    assert expected in refused(tmp_path, f"{header}\nx/a.png,train\n")


def test_table_that_is_missing_or_outside_the_root(tmp_path):
    with pytest.raises(InputError, match=r"split\.csv: no such file"):
        own_split(tmp_path, "split.csv", MANIFEST)
    (tmp_path / "images").mkdir()
    written(tmp_path, "path,split\n")
    with pytest.raises(InputError, match=r"\.\./split\.csv: leads out of its root folder"):
        own_split(tmp_path / "images", "../split.csv", MANIFEST)


def test_long_cells_are_abbreviated(tmp_path):
    text = refused(tmp_path, f"image_id,split\na-1,{'x' * 5000}\nb-2,val\nc-3,test\n")
    assert "unknown split 'xxx" in text and len(text) < 500
