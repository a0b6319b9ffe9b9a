"""Unpacks a .zip that nobody vouches for: no bomb, no way out of the folder, no links."""

import stat
import zlib
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from btlib.errors import InputError

SIGNATURE = b"PK\x03\x04"
MAX_ENTRIES = 5000  # four series of a DICOM study have about a thousand files
MAX_UNPACKED = 2 * 2**30  # bytes of all entries together
MAX_PART = 200  # characters of a file's or a folder's name
CHUNK = 2**20
JUNK = {"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"}  # what file managers add
DAMAGED = (BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)
SAME_NAME = (FileExistsError, IsADirectoryError, NotADirectoryError)


def is_archive(path: Path) -> bool:
    """By its first bytes, whatever its name."""
    with path.open("rb") as handle:
        return handle.read(len(SIGNATURE)) == SIGNATURE


def unpack(archive: Path, folder: Path) -> None:
    """Writes the files of `archive` below `folder`, which it makes.

    Raises:
        InputError: the archive is damaged, encrypted, too large, or has entries that are links or lead elsewhere.
    """
    try:
        with ZipFile(archive) as content:
            entries = [entry for entry in content.infolist() if not _is_junk(entry)]
            _check(entries)
            left = MAX_UNPACKED
            for entry in entries:
                left -= _extract(content, entry, folder, left)
    except InputError as error:
        raise InputError(f"{archive.name}: {error}") from None
    except SAME_NAME:
        raise InputError(f"{archive.name}: two entries of one name; pack it again") from None
    except DAMAGED as error:
        raise InputError(f"{archive.name}: not a whole .zip archive; pack it again") from error


def _is_junk(entry: ZipInfo) -> bool:
    return entry.filename.endswith("/") or bool(JUNK & set(PurePosixPath(entry.filename).parts))


def _check(entries: list[ZipInfo]) -> None:
    """What the table of contents gives away, before anything is written."""
    if not entries:
        raise InputError("an empty archive; pack the scans into it")
    if len(entries) > MAX_ENTRIES:
        raise InputError(f"{len(entries):,} files, at most {MAX_ENTRIES:,} are taken; pack one case alone")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise _too_large()
    if any(entry.flag_bits & 1 for entry in entries):
        raise InputError("encrypted; pack it without a password")
    if any(entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for entry in entries):
        raise InputError("compressed in an unusual way; pack it as a plain .zip")
    if any(stat.S_ISLNK(entry.external_attr >> 16) for entry in entries):
        raise InputError("holds links; pack the files themselves")


def _extract(content: ZipFile, entry: ZipInfo, folder: Path, left: int) -> int:
    """Writes one file and returns its bytes, which are counted: the table of contents may lie."""
    target = folder / _inside(entry.filename)
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with content.open(entry) as source, target.open("xb") as handle:
        while chunk := source.read(CHUNK):
            written += handle.write(chunk)
            if written > left:
                raise _too_large()
    return written


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise InputError("an entry leads out of the archive's folder; pack it again with plain relative names")
    if max(map(len, path.parts)) > MAX_PART:
        raise InputError(f"an entry's name has more than {MAX_PART} characters; shorten it")
    return path


def _too_large() -> InputError:
    return InputError(f"more than {MAX_UNPACKED / 2**30:.0f} GiB when unpacked; pack one case alone")
