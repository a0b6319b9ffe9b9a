"""The error type for users, and a guard that converts exceptions on damaged input to it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

MAX_QUOTED = 200  # characters of foreign text in a message


class InputError(ValueError):
    """Invalid input from the user: the message names it and the remedy.

    Stages print the message alone, without a traceback; every other exception is a bug.
    """


@contextmanager
def guarded(name: str, what: str, remedy: str = "copy or download it again", quote: bool = True) -> Iterator[None]:
    """Converts any exception in the block to an InputError that names the file.

    Decoders raise almost any type of exception on damaged input. A bug in the block would look the same, so the block
    should contain nothing but the decoding.

    Args:
        name: the file as the user knows it.
        what: the expected kind of file: 'NIfTI file', 'PNG image'.
        quote: whether to show the decoder's own message; False if it may quote text about a patient.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = brief(f"{type(error).__name__}: {error}" if quote and str(error) else type(error).__name__)
        raise InputError(f"{name}: not a valid {what} ({reason}); {remedy}") from (error if quote else None)


def brief(text: object, longest: int = MAX_QUOTED) -> str:
    """Arbitrary text as one printable line of at most `longest` characters."""
    line = " ".join(str(text).split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line[: longest + 1])
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def listed(faults: Sequence[str], shown: int = 20) -> str:
    """Faults as an indented list, limited to `shown` with a count of the rest."""
    lines = [f"  - {fault}" for fault in faults[:shown]]
    if len(faults) > shown:
        lines.append(f"  - … and {len(faults) - shown} more")
    return "\n".join(lines)
