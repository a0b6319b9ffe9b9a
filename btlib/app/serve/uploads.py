"""Uploads as files in a temporary folder, removed after the answer.

The server writes the files; the worker process opens them and identifies them by content.
"""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import BinaryIO, NamedTuple

from anyio import CancelScope, to_thread

from btlib.app.serve.archives import is_archive, unpack
from btlib.app.serve.names import last_part
from btlib.core.runtime.errors import InputError

MAX_BYTES = 512 * 2**20  # per upload; the four scans of a BraTS case have about 10 MiB
MAX_FILES = 16  # per upload; a DICOM study has hundreds and is sent as one .zip
CASE = "case"  # name of the folder with the files, after which the case is named


class Upload(NamedTuple):
    """One file of the form."""

    name: str
    content: BinaryIO


class Opened(NamedTuple):
    """An upload, unpacked if it was an archive.

    folder: contains the files, never named in messages; path: the only file, or the folder; kind: 'slice' or 'case'.
    """

    folder: Path
    path: Path
    kind: str


@asynccontextmanager
async def stored(uploads: Sequence[Upload]) -> AsyncIterator[Path]:
    """Yields a folder for `unpacked` with the files, readable by its owner only, and removes it afterwards.

    Raises:
        InputError: there is no file, or two have the same name.
    """
    if not uploads:
        raise InputError("no file arrived; choose one image, or the four scans of a case")
    place = Path(mkdtemp(prefix="btlib-")).resolve()  # as in messages, from which it is later removed
    try:
        await to_thread.run_sync(_store, uploads, place / "received" / CASE)
        yield place
    finally:
        with CancelScope(shield=True):  # even if the client has disconnected
            await to_thread.run_sync(shutil.rmtree, place)


def unpacked(place: Path) -> Path:
    """The folder of the files that `stored` wrote; a single .zip is unpacked.

    Raises:
        InputError: an archive is not the only file or cannot be unpacked safely.
    """
    received, folder = place / "received" / CASE, place / "unpacked" / CASE
    files = sorted(received.iterdir())
    archives = [path for path in files if is_archive(path)]
    if not archives:
        return received
    if len(files) > 1:
        raise InputError(f"{archives[0].name}: an archive among other files; send it alone")
    unpack(archives[0], folder)
    return folder


def _store(uploads: Sequence[Upload], folder: Path) -> None:
    folder.mkdir(parents=True)
    for upload in uploads:
        name = last_part(upload.name)
        try:
            with (folder / name).open("xb") as target:
                shutil.copyfileobj(upload.content, target)
        except FileExistsError:
            raise InputError(f"{name}: two files with that name; rename one of them") from None
