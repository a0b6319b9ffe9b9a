"""Uploaded files exist for as long as they are needed, and no longer."""

import io
import tempfile

import pytest

from btlib.errors import InputError
from btlib.web.uploads import Upload, harmless, unpacked
from tests.web.fakes import zipped


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def upload(name, content=b"content"):
    return Upload(name, io.BytesIO(content))


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("case_t1.nii.gz", "case_t1.nii.gz"),
        ("../../etc/passwd", "passwd"),
        ("C:\\scans\\T1 (2).nii", "T1_2_.nii"),
        ("Müller, Anna.png", "M_ller_Anna.png"),
        ("<img src=x onerror=alert(1)>.png", "_img_src_x_onerror_alert_1_.png"),
        (".hidden", "hidden"),
        ("..", "file"),
        ("", "file"),
        ("a" * 200 + ".nii.gz", "a" * 93 + ".nii.gz"),
    ],
)
def test_names_are_made_harmless(name, kept):
    assert harmless(name) == kept


def test_files_are_there_and_then_gone(temporary):
    with unpacked([upload("a.png", b"one"), upload("b.png", b"two")]) as folder:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a.png": b"one", "b.png": b"two"}
        assert folder.is_relative_to(temporary)
        (top,) = temporary.iterdir()
        assert top.stat().st_mode & 0o077 == 0  # nobody else may look
    assert list(temporary.iterdir()) == []


def test_files_are_gone_after_an_error(temporary):
    with pytest.raises(ZeroDivisionError), unpacked([upload("a.png")]):
        raise ZeroDivisionError
    assert list(temporary.iterdir()) == []


def test_an_archive_is_unpacked_whatever_its_name():
    with unpacked([upload("scan.dat", zipped({"x/a": b"one"}))]) as folder:
        assert [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()] == ["x/a"]


@pytest.mark.parametrize(
    ("uploads", "message"),
    [
        ([], "no file arrived"),
        ([upload("a/t1.nii"), upload("b/t1.nii")], "t1.nii: two files of that name"),
        ([upload("a.png"), upload("b.zip", zipped({"a": b""}))], "b.zip: an archive among other files"),
        ([upload("b.zip", zipped({"../a": b""}))], "leads out"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_stays(temporary, uploads, message):
    with pytest.raises(InputError, match=message), unpacked(uploads):
        pass
    assert list(temporary.iterdir()) == []
