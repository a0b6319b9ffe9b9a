"""Harmless and malicious archives."""

import io
import stat
import struct
import zipfile

import pytest

from btlib.app.serve import archives
from btlib.app.serve.archives import is_archive, unpack
from btlib.core.runtime.errors import InputError
from tests.app.serve.fakes import zipped


def unpacked(tmp_path, content):
    """Files below the folder, by relative name; checks that nothing was written elsewhere."""
    archive, folder = tmp_path / "scan.zip", tmp_path / "inner" / "folder"
    tmp_path.mkdir(exist_ok=True)
    archive.write_bytes(content)
    try:
        unpack(archive, folder)
    finally:
        outside = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(folder)]
        assert outside == [archive]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edited(content, entry, flags=0, clear=0, method=None, size=None):
    """The archive with changed metadata of `entry` in its local header and table of contents."""
    changed = bytearray(content)
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = changed.find(signature)
        assert changed[start : start + 100].find(entry) > 0
        (old,) = struct.unpack_from("<H", changed, start + at)
        struct.pack_into("<H", changed, start + at, (old | flags) & ~clear)
        if method is not None:
            struct.pack_into("<H", changed, start + at + 2, method)
        if size is not None:
            struct.pack_into("<I", changed, start + at + 16, size)
    return bytes(changed)


def test_files_in_folders_are_unpacked_without_junk(tmp_path):
    content = {"case/a_t1.nii": b"one", "case/deep/b": b"two", "__MACOSX/case/._a": b"junk", "case/.DS_Store": b"junk"}
    assert unpacked(tmp_path, zipped(content)) == {"a_t1.nii": b"one", "deep/b": b"two"}


def test_informative_names_are_preserved(tmp_path):
    names = ["病例 1/T1+C.nii", "病例 1/T1 增强.nii", "病例 2/" + "瘤" * 200 + ".nii"]
    expected = ["病例 1/T1+C.nii", "病例 1/T1 增强.nii", "病例 2/" + "瘤" * 33 + "_" + "瘤" * 31 + ".nii"]
    assert set(unpacked(tmp_path, zipped(dict.fromkeys(names, b"")))) == set(expected)


def test_utf8_names_without_the_flag_are_decoded(tmp_path):
    content = zipped({"T1_增强.nii": b"one"})
    assert unpacked(tmp_path, edited(content, "增强".encode(), clear=0x800)) == {"T1_增强.nii": b"one"}


@pytest.mark.parametrize("name", ["../out.nii", "/tmp/out.nii", "case/../../out.nii", "..\\out.nii", "C:\\out.nii"])
def test_path_traversal_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"scan\.zip: an entry leads out of the archive's folder"):
        unpacked(tmp_path, zipped({"first": b"fine", name: b"not"}))


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("link.nii")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="contains links"):
        unpacked(tmp_path, buffer.getvalue())


def test_bomb_is_refused_by_announced_size(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED", 10**6)
    bomb = zipped({"zeros": bytes(10**6), "more": b"1"})
    assert len(bomb) < 2000
    with pytest.raises(InputError, match="GiB when unpacked"):
        unpacked(tmp_path, bomb)
    assert unpacked(tmp_path, zipped({"zeros": bytes(10**6)})) == {"zeros": bytes(10**6)}


def test_bomb_is_refused_by_compression_ratio(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ANY_RATIO", 10**5)
    with pytest.raises(InputError, match=r"grows 9\d\d-fold when unpacked"):
        unpacked(tmp_path, zipped({"zeros": bytes(10**6)}))
    assert unpacked(tmp_path / "other", zipped({"zeros": bytes(10**5)})) == {"zeros": bytes(10**5)}


def test_bomb_with_false_size_is_not_unpacked(tmp_path):
    bomb = edited(zipped({"zeros": bytes(10**6)}), b"zeros", size=10)
    with pytest.raises(InputError, match="not a valid"):
        unpacked(tmp_path, bomb)
    assert sum(path.stat().st_size for path in (tmp_path / "inner").rglob("*") if path.is_file()) <= 10


def test_unpacked_bytes_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_check", lambda entries, packed: None)
    monkeypatch.setattr(archives, "MAX_UNPACKED", 1000)
    with pytest.raises(InputError, match="GiB when unpacked"):
        unpacked(tmp_path, zipped({"a": bytes(600), "b": bytes(600)}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped({}), "an empty archive"),
        (zipped({"__MACOSX/a": b"junk"}), "an empty archive"),
        (zipped({"a": b"text"})[:-30], "not a valid .zip"),
        (b"PK\x03\x04 and then nothing", "not a valid .zip"),
        (edited(zipped({"a": b"text"}), b"a", flags=1), "without a password"),
        (edited(zipped({"a": b"text"}), b"a", method=zipfile.ZIP_BZIP2), "as a plain .zip"),
        (zipped({"case": b"a file", "case/t1.nii": b"in a folder"}), "two entries with the same name"),
        (zipped({"/".join("a" * 21): b"text"}), "more than 20 nested folders"),
        (zipped({"/".join("a" * 1001): b"text"}), "more than 20 nested folders"),
        (zipped({"/".join(["a" * 200] * 6): b"text"}), "has more than 1,000 bytes"),
        (zipped({"T1": b"text", "Ｔ１": b"text"}), "two entries with the same name"),
    ],
)
def test_other_faulty_archives_are_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=rf"^scan\.zip: .*{message}"):
        unpacked(tmp_path, content)


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ENTRIES", 2)
    with pytest.raises(InputError, match="3 files, at most 2 are accepted"):
        unpacked(tmp_path, zipped({"a": b"", "b": b"", "c": b""}))


def test_archive_is_identified_by_content(tmp_path):
    named, other = tmp_path / "photo.png", tmp_path / "photo.zip"
    named.write_bytes(zipped({"a": b"text"}))
    other.write_bytes(b"\x89PNG")
    assert is_archive(named)
    assert not is_archive(other)
