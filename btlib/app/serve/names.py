"""Names of what was sent, as far as they are harmless and fit into a file system.

The 3D road knows modalities by names, so letters of all scripts, digits and signs such as '+' stay as they are.
"""

import re
import unicodedata
from pathlib import PurePosixPath

LONGEST = 200  # bytes of a name as UTF-8; file systems hold 255
ODD = re.compile(r'[<>:"/\\|?*]')  # what names on Windows, or paths, must not have
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # devices on Windows, whatever the ending


def last_part(name: str) -> str:
    """The harmless name of a file that came with or without folders before it."""
    return harmless(PurePosixPath(name.replace("\\", "/")).name)


def harmless(name: str) -> str:
    """One part of a path, in Unicode's form NFKC, which knows no wide letters, plus signs and digits.

    What is no letter, mark, digit, sign or space becomes '_'; dots in front go, and the middle of a long name.
    """
    plain = "".join(letter if _stays(letter) else "_" for letter in unicodedata.normalize("NFKC", name))
    plain = plain.strip().lstrip(". ") or "file"
    return _fitting(f"_{plain}" if RESERVED.match(plain) else plain)


def _stays(letter: str) -> bool:
    return letter == " " or (unicodedata.category(letter)[0] in "LMNPS" and not ODD.match(letter))


def _fitting(name: str) -> str:
    encoded = name.encode()
    if len(encoded) <= LONGEST:
        return name
    half = LONGEST // 2 - 1  # one byte for what stands between
    start, end = encoded[:half], encoded[-half:]
    return f"{start.decode(errors='ignore')}_{end.decode(errors='ignore')}"
