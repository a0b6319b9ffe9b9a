"""Sanitises the names of uploaded files.

The 3D pipeline identifies modalities by names, so letters of all scripts, digits and signs such as '+' are kept.
"""

import re
import unicodedata
from pathlib import PurePosixPath

MAX_BYTES = 200  # of a name as UTF-8; file systems allow 255
ODD = re.compile(r'[<>:"/\\|?*]')  # forbidden in names on Windows, or in paths
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # devices on Windows, with any extension


def last_part(name: str) -> str:
    """The safe name of an uploaded file, without leading folders."""
    return harmless(PurePosixPath(name.replace("\\", "/")).name)


def harmless(name: str) -> str:
    """A safe path component, in Unicode form NFKC, which replaces full-width characters.

    Characters other than letters, marks, digits, signs and spaces become '_'; leading dots are dropped, and so is the
    middle of a long name.
    """
    plain = "".join(letter if _is_allowed(letter) else "_" for letter in unicodedata.normalize("NFKC", name))
    plain = plain.strip().lstrip(". ") or "file"
    return _shorten(f"_{plain}" if RESERVED.match(plain) else plain)


def _is_allowed(letter: str) -> bool:
    return letter == " " or (unicodedata.category(letter)[0] in "LMNPS" and not ODD.match(letter))


def _shorten(name: str) -> str:
    encoded = name.encode()
    if len(encoded) <= MAX_BYTES:
        return name
    half = MAX_BYTES // 2 - 1  # one byte for the separator
    start, end = encoded[:half], encoded[-half:]
    return f"{start.decode(errors='ignore')}_{end.decode(errors='ignore')}"
