"""The one error that people are meant to read, and the guard that turns what damaged input raises into it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

LONGEST = 200  # characters that a message quotes of anything it did not make up itself


class InputError(ValueError):
    """Something the user gave is wrong: the message names it and says what to do.

    Stages print the message alone, without a traceback; every other exception is a bug.
    """


@contextmanager
def guarded(name: str, what: str, remedy: str = "copy or download it again", quote: bool = True) -> Iterator[None]:
    """The guard at a boundary: whatever damaged bytes raise in the block becomes an InputError that names the file.

    Decoders raise almost any kind of exception on damaged input; a bug of ours in the block would look the same, so a
    block holds the decoding and no more.

    Args:
        name: the file, as the user knows it.
        what: a whole one would be: 'NIfTI file', 'PNG image'.
        quote: whether the decoder's own words are shown; not where they may quote text about a patient.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = brief(f"{type(error).__name__}: {error}" if quote and str(error) else type(error).__name__)
        raise InputError(f"{name}: not a whole {what} ({reason}); {remedy}") from (error if quote else None)


def brief(text: object, longest: int = LONGEST) -> str:
    """Text of unknown length and content as one printable line of at most `longest` characters."""
    line = " ".join(str(text).split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line[: longest + 1])
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def listed(faults: Sequence[str], shown: int = 20) -> str:
    """Faults as an indented list, cut after `shown` of them with a count of the rest."""
    lines = [f"  - {fault}" for fault in faults[:shown]]
    if len(faults) > shown:
        lines.append(f"  - … and {len(faults) - shown} more")
    return "\n".join(lines)
