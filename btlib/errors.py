"""The one error that people are meant to read."""

from collections.abc import Sequence


class InputError(ValueError):
    """Something the user gave is wrong: the message names it and says what to do.

    Stages print the message alone, without a traceback; every other exception is a bug.
    """


def listed(faults: Sequence[str], shown: int = 20) -> str:
    """Faults as an indented list, cut after `shown` of them with a count of the rest."""
    lines = [f"  - {fault}" for fault in faults[:shown]]
    if len(faults) > shown:
        lines.append(f"  - … and {len(faults) - shown} more")
    return "\n".join(lines)
