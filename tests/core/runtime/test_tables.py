import pandas as pd
import pytest

from btlib.core.runtime import tables
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.tables import read_user_table

COLUMNS = ("path", "patient", "mask_path")
ROWS = [["g/a 1.png", "007", "m/a.png"], ["g/b.png", "", ""]]


def read(root, content: str | bytes, required=("path", ("patient", "mask_path"))) -> list[list[str]]:
    path = root / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    table = read_user_table(path, COLUMNS, required, paths=("path", "mask_path"))
    assert tuple(table) == COLUMNS
    return table.to_numpy().tolist()


@pytest.mark.parametrize(
    "text",
    [
        "path,patient,mask_path\ng/a 1.png,007,m/a.png\ng/b.png,,\n",
        "path, patient, mask_path\r\ng/a 1.png, 007 , m/a.png\r\ng/b.png\r\n\r\n",
        "path;patient;mask_path\rg/a 1.png;007;m/a.png\rg/b.png;;\r",
        "path\tpatient\tmask_path\ng/a 1.png\t007\tm/a.png\ng/b.png\tNA\tnan",
        "\n;Mask Path;age, years;PATIENT;Path\n1;m/a.png;40,5;007;g/a 1.png\n2;;;;g/b.png\n",
        'path,patient,"mask-path"\n"g/a 1.png", "007",m/a.png,,\ng/b.png,,\n',
        "path,patient,mask_path\ng\\a 1.png,007,m\\a.png\ng\\b.png,None,\n",
    ],
)
def test_dialects(tmp_path, text):
    assert read(tmp_path, text) == ROWS
    assert read(tmp_path, text.encode("utf-8-sig")) == ROWS
    assert read(tmp_path, text.encode("utf-16")) == ROWS


def test_cells_keep_separators_quotes_and_letters(tmp_path):
    assert read(tmp_path, 'path,patient,mask_path\n"a,b;c.png","say ""x""",Übung/脑.png\n') == [
        ["a,b;c.png", 'say "x"', "Übung/脑.png"]
    ]


def test_backslashes_of_other_columns_are_kept(tmp_path):
    assert read(tmp_path, "path,patient,mask_path\na.png,A\\B,\n") == [["a.png", "A\\B", ""]]


def test_table_without_rows(tmp_path):
    assert read(tmp_path, "path,patient,mask_path\n") == []


def test_missing_optional_columns(tmp_path):
    (tmp_path / "table.csv").write_text("patient,path,note\n007,a.png,x\n")
    table = read_user_table(tmp_path / "table.csv", COLUMNS, ("path",))
    pd.testing.assert_frame_equal(table, pd.DataFrame({"path": ["a.png"], "patient": ["007"]}))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("file,patient\na.png,1\n", "columns are file, patient; expected path, one of patient or mask_path, in the"),
        ("path|patient\na.png|1\n", r"columns are path\|patient; expected path"),
        ("path,PATH,patient\na.png,b.png,1\n", "2 columns are named path"),
        ("path,patient\na.png,1\na,b.png,1\n", "line 3: 3 cells for 2 columns; put cells that contain the separator"),
        ("", "an empty table"),
        (" \n\n", "an empty table"),
        ('path,patient\n"a.png,1\n', "not a valid CSV table .*; save it as CSV in UTF-8"),
        ("path,patient\nM\xfcller.png,1\n".encode("latin-1"), "not a valid CSV table .*byte 0xfc"),
        (b"PK\x03\x04\xff\xfe", "not a valid CSV table"),
        ("path,patient\n" + "a" * 200_000, "not a valid CSV table .*field larger than"),
    ],
)
def test_faulty_tables_are_refused(tmp_path, content, reason):
    with pytest.raises(InputError, match=reason) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path / 'table.csv'}: ")
    assert len(str(caught.value)) < 500


def test_table_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_BYTES", 2**20)
    with pytest.raises(InputError, match="larger than 1 MiB"):
        read(tmp_path, "path,patient\n" + "a.png,1\n" * 2**18)


def test_folder_or_missing_file(tmp_path):
    for name in (".", "absent.csv"):
        with pytest.raises(InputError, match="no such file"):
            read_user_table(tmp_path / name, COLUMNS, ("path",))
