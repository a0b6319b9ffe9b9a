"""One trial: an input is written to a folder, read as the program reads it, and what came of it is judged.

Right are an answer, and an InputError that names the file, is no longer than a screen and holds no text about the
patient. Wrong is everything else: another exception, too much memory, a file read or left outside of the folder,
text about the patient in a warning. Hangs and crashes end the process, which `campaign` counts.
"""

import contextlib
import os
import shutil
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

import h5py
import numpy as np

from btlib.core.runtime.errors import InputError

PATIENT = "DOE^JANE"  # stands in every seed that can hold a name
FOLDER = "case-0815"  # that holds the input
OUTSIDE = "outside.mat"  # beside it, which nothing may read
LONGEST = 5000  # characters of a message
ANSWERED, REFUSED, LOST, FAULT = "answered", "refused", "lost", "fault"

Files = Mapping[str, bytes]  # path relative to the folder -> content


class Reader(NamedTuple):
    """One way into the program.

    seeds: writes one folder for each kind of whole input into the folder given; 'refused…' where that is right.
    read: reads the folder given, and returns what the program says beside its answer.
    mutations: that know the format; they may raise anything on bytes of another.
    isolated: whether the program itself works on such input in a process that may be lost.
    named: whether a refusal must name one of the files; not where they hold the names that it names.
    """

    name: str
    seeds: Callable[[Path], None]
    read: Callable[[Path], Iterable[str]]
    mutations: tuple[Callable[[Random, bytes], bytes], ...] = ()
    isolated: bool = False
    named: bool = True


class Outcome(NamedTuple):
    """`sign` is alike for faults of one cause: the exception and the line of btlib that it left last."""

    kind: str
    sign: str = ""
    message: str = ""


class _Place(NamedTuple):
    """Where one process tries inputs: the folder, its neighbours, and what was printed."""

    root: Path
    folder: Path
    outside: Path
    temporary: Path
    words: int


def tried(reader: Reader, files: Files, base: Path) -> Outcome:
    """What came of reading the files; to be called in a process of `btlib.core.runtime.isolation` alone.

    Args:
        base: an empty folder, best in memory.
    """
    place = _place(base)
    write_files(place.folder, files)
    os.utime(place.outside, ns=(0, place.outside.stat().st_mtime_ns))  # reading it sets the first time anew
    try:
        with contextlib.chdir(place.folder):
            said, outcome = "\n".join(reader.read(place.folder)), Outcome(ANSWERED)
    except Exception as error:
        said, outcome = str(error), _judged(error, [*files, FOLDER, "case "] if reader.named else [""])
    finally:
        printed, traces = _printed(place.words), _traces(place)
        shutil.rmtree(place.folder)
    wrongs = {
        "PatientText": PATIENT.lower() in f"{said}{printed}".lower(),
        "LongMessage": outcome.kind != FAULT and len(said) > LONGEST,
        **traces,
    }
    found = [name for name, wrong in wrongs.items() if wrong]
    return Outcome(FAULT, f"{found[0]}___{outcome.sign}", said) if found else outcome


def write_files(folder: Path, files: Files) -> None:
    """Makes the folder and the files in it."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def read_files(folder: Path) -> Files:
    """All files below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@cache
def _place(base: Path) -> _Place:
    root = base / str(os.getpid())
    shutil.rmtree(root, ignore_errors=True)
    place = _Place(root, root / FOLDER, root / OUTSIDE, root / "temporary", _catch_words(root))
    place.temporary.mkdir()
    tempfile.tempdir = str(place.temporary)
    with h5py.File(place.outside, "w") as file:
        file["cjdata/image"] = file["cjdata/tumorMask"] = np.arange(1024, dtype=np.uint8).reshape(32, 32)
    return place


def _catch_words(root: Path) -> int:
    """A file that takes what the process prints, warnings too."""
    root.mkdir(parents=True)
    words = os.open(root / "words", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(words, 1)
    os.dup2(words, 2)
    warnings.simplefilter("always")
    return words


def _printed(words: int) -> str:
    size = os.fstat(words).st_size
    text = os.pread(words, size, 0).decode(errors="replace") if size else ""
    os.ftruncate(words, 0)
    return text


def _traces(place: _Place) -> dict[str, bool]:
    known = {place.folder, place.outside, place.temporary, place.root / "words"}
    left = [*place.temporary.iterdir(), *set(place.root.iterdir()) - known]
    for path in left:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return {"ReadOutside": place.outside.stat().st_atime_ns > 0, "LeftFiles": bool(left)}


def _judged(error: Exception, names: list[str]) -> Outcome:
    where = _last_line(error)
    message = "".join(traceback.format_exception(error))
    if any(isinstance(one, MemoryError) for one in _chain(error)):
        return Outcome(FAULT, f"MemoryError___{where}", message)
    if not isinstance(error, InputError):
        return Outcome(FAULT, f"{type(error).__name__}___{where}", message)
    if not any(Path(name).name in str(error) for name in names):
        return Outcome(FAULT, f"NamesNoFile___{where}", message)
    return Outcome(REFUSED, where, str(error))


def _last_line(error: Exception) -> str:
    """As in 'data_reading_py_27'."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if "/btlib/" in frame.filename]
    path = lines[-1].filename.rsplit("/btlib/", 1)[1] if lines else "elsewhere"
    return "_".join(path.replace(".", "/").split("/")) + (f"_{lines[-1].lineno}" if lines else "")


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
