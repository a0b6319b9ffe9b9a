"""What the page sent, as files in a temporary folder that is gone after the answer.

Names are only kept as far as they are harmless: the 3D road knows modalities by them. What a file is, its content says.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple

from btlib.errors import InputError
from btlib.web.archives import is_archive, unpack

MAX_BYTES = 512 * 2**20  # of one upload; the four scans of a BraTS case have about 10 MiB
MAX_FILES = 16  # of one upload; a DICOM study has hundreds, and comes as one .zip
ODD = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST = 100  # characters of a name


class Upload(NamedTuple):
    """One file as the form holds it."""

    name: str
    content: BinaryIO


@contextmanager
def unpacked(uploads: Sequence[Upload]) -> Iterator[Path]:
    """Yields a folder, readable for its owner alone, with the files; a single .zip is unpacked. Removes it afterwards.

    Raises:
        InputError: there is no file, two have one name, an archive is not alone or cannot be unpacked safely.
    """
    if not uploads:
        raise InputError("no file arrived; choose one image, or the four scans of a case")
    with TemporaryDirectory(prefix="btlib-") as temporary:
        place = Path(temporary).resolve()  # what messages name, so that it can be taken out of them
        received, folder = place / "received" / "case", place / "unpacked" / "case"  # a case is named after its folder
        received.mkdir(parents=True)
        _store(uploads, received)
        archives = [path for path in sorted(received.iterdir()) if is_archive(path)]
        if not archives:
            yield received
        elif len(uploads) > 1:
            raise InputError(f"{archives[0].name}: an archive among other files; drop it alone")
        else:
            unpack(archives[0], folder)
            yield folder


def harmless(name: str) -> str:
    """The last part of a name, with letters, digits, '.', '_' and '-' only, and no dot in front."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return ODD.sub("_", last).lstrip(".")[-LONGEST:] or "file"


def _store(uploads: Sequence[Upload], folder: Path) -> None:
    for upload in uploads:
        try:
            with (folder / harmless(upload.name)).open("xb") as target:
                shutil.copyfileobj(upload.content, target)
        except FileExistsError:
            raise InputError(f"{harmless(upload.name)}: two files of that name; rename one of them") from None
