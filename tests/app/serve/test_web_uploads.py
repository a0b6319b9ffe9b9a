"""Uploaded files exist only while they are needed."""

import io
import tempfile

import anyio
import pytest

from btlib.app.serve.uploads import Upload, stored, unpacked
from btlib.core.runtime.errors import InputError
from tests.app.serve.fakes import zipped


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def upload(name, content=b"content"):
    return Upload(name, io.BytesIO(content))


def during(uploads, look):
    """Calls `look` on the folder of files while it exists."""

    async def run():
        async with stored(uploads) as place:
            return look(unpacked(place))

    return anyio.run(run)


def test_files_exist_and_are_then_removed(temporary):
    def look(folder):
        (top,) = temporary.iterdir()
        assert folder.is_relative_to(top)
        assert top.stat().st_mode & 0o077 == 0  # not accessible to others
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    assert during([upload("a.png", b"one"), upload("x/b.png", b"two")], look) == {"a.png": b"one", "b.png": b"two"}
    assert list(temporary.iterdir()) == []


def test_files_are_removed_after_an_error(temporary):
    with pytest.raises(ZeroDivisionError):
        during([upload("a.png")], lambda _: 1 // 0)
    assert list(temporary.iterdir()) == []


def test_files_are_removed_when_the_client_disconnects(temporary):
    async def wait():
        async with stored([upload("a.png")]):
            await anyio.sleep(60)

    async def leave():
        with anyio.move_on_after(0.2):
            await wait()

    anyio.run(leave)
    assert list(temporary.iterdir()) == []


def test_archive_is_unpacked_under_any_name():
    files = during(
        [upload("scan.dat", zipped({"a": b"one", "x/b": b"two"}))],
        lambda folder: sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()),
    )
    assert files == ["a", "x/b"]


@pytest.mark.parametrize(
    ("uploads", "message"),
    [
        ([], "no file arrived"),
        ([upload("a/t1.nii"), upload("b/t1.nii")], "t1.nii: two files with that name"),
        ([upload("a.png"), upload("b.zip", zipped({"a": b""}))], "b.zip: an archive among other files"),
        ([upload("b.zip", zipped({"../a": b""}))], "leads out"),
        ([upload("b.zip", zipped({"/".join("a" * 1000): b"x"}))], "more than 20 nested folders"),
    ],
)
def test_faulty_uploads_are_refused_without_leftovers(temporary, uploads, message):
    with pytest.raises(InputError, match=message):
        during(uploads, lambda folder: folder)
    assert list(temporary.iterdir()) == []
