"""Unpacks an untrusted .zip: no bombs, no path traversal, no links."""

import os
import re
import stat
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from btlib.app.serve.names import harmless
from btlib.core.runtime.errors import InputError, guarded

SIGNATURE = b"PK\x03\x04"
MAX_ENTRIES = 5000  # four series of a DICOM study have about a thousand files
MAX_UNPACKED = 2 * 2**30  # bytes of all entries together
MAX_RATIO = 200  # unpacked to packed bytes; a volume that is mostly air reaches 50
ANY_RATIO = 64 * 2**20  # unpacked bytes up to which any ratio is accepted
MAX_DEPTH = 20  # nested folders
MAX_PATH = 1000  # bytes of an entry's whole path
CHUNK = 2**20
UTF8 = 0x800  # the flag of an entry whose name is UTF-8
JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini"}  # left by file managers, as are names that begin with a dot
SAME_NAME = (FileExistsError, IsADirectoryError, NotADirectoryError)


def is_archive(path: Path) -> bool:
    """Whether a file is a .zip, by its first bytes."""
    with path.open("rb") as handle:
        return handle.read(len(SIGNATURE)) == SIGNATURE


def unpack(archive: Path, folder: Path) -> None:
    """Writes the files of `archive` below `folder`, which is created, under names made safe by `harmless`.

    Folders common to all files are dropped, since their names carry no information on the scans.

    Raises:
        InputError: the archive is damaged, encrypted, too large or too deep, or has entries that are links, lead
            outside the folder or have the same name.
    """
    with guarded(archive.name, ".zip archive", "pack it again", quote=False):
        try:
            with ZipFile(archive) as content:
                entries = [entry for entry in content.infolist() if not _is_junk(entry)]
                _check(entries, archive.stat().st_size)
                paths = [_inside(entry) for entry in entries]
                around = os.path.commonpath([path.parent for path in paths])
                left = MAX_UNPACKED
                for entry, path in zip(entries, paths, strict=True):
                    left -= _extract(content, entry, folder / path.relative_to(around), left)
        except InputError as error:
            raise InputError(f"{archive.name}: {error}") from None
        except SAME_NAME:
            raise InputError(f"{archive.name}: two entries with the same name; pack it again") from None


def _is_junk(entry: ZipInfo) -> bool:
    parts = PurePosixPath(entry.filename).parts
    return entry.filename.endswith("/") or any(part in JUNK or re.match(r"\.[^.]", part) for part in parts)


def _check(entries: list[ZipInfo], packed: int) -> None:
    """Checks the table of contents before anything is written. `packed`: bytes of the archive."""
    if not entries:
        raise InputError("an empty archive; pack the scans into it")
    if len(entries) > MAX_ENTRIES:
        raise InputError(f"{len(entries):,} files, at most {MAX_ENTRIES:,} are accepted; pack only one case")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED:
        raise _too_large()
    if unpacked > max(ANY_RATIO, MAX_RATIO * packed):
        raise InputError(
            f"grows {unpacked // packed:,}-fold when unpacked, unlike any scans; pack the scans themselves"
        )
    if any(entry.flag_bits & 1 for entry in entries):
        raise InputError("encrypted; pack it without a password")
    if any(entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for entry in entries):
        raise InputError("compressed in an unusual way; pack it as a plain .zip")
    if any(stat.S_ISLNK(entry.external_attr >> 16) for entry in entries):
        raise InputError("contains links; pack the files themselves")


def _extract(content: ZipFile, entry: ZipInfo, target: Path, left: int) -> int:
    """Writes one file and returns its size as counted, since the table of contents cannot be trusted."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with content.open(entry) as source, target.open("xb") as handle:
        while chunk := source.read(CHUNK):
            written += handle.write(chunk)
            if written > left:
                raise _too_large()
    return written


def _inside(entry: ZipInfo) -> PurePosixPath:
    path = PurePosixPath(_name(entry).replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise InputError("an entry leads out of the archive's folder; pack it again with plain relative names")
    if len(path.parts) > MAX_DEPTH:
        raise InputError(f"more than {MAX_DEPTH} nested folders; pack the scans with fewer")
    inside = PurePosixPath(*map(harmless, path.parts))
    if len(str(inside).encode()) > MAX_PATH:
        raise InputError(f"an entry's path has more than {MAX_PATH:,} bytes; shorten its folder names")
    return inside


def _name(entry: ZipInfo) -> str:
    """The original name: many programs write UTF-8 without setting the flag, which zipfile decodes as code page 437.

    A name that is not UTF-8 stays as zipfile reads it.
    """
    if entry.flag_bits & UTF8:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode()
    except UnicodeError:
        return entry.filename


def _too_large() -> InputError:
    return InputError(f"more than {MAX_UNPACKED / 2**30:.0f} GiB when unpacked; pack only one case")
