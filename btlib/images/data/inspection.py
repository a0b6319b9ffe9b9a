"""Looks into many files that nobody has vouched for, and gathers what is wrong with them: one run names all faults."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.isolation import Lost, in_isolation


def inspected(
    function: Callable[[Any], Any], items: Sequence[Any], names: Sequence[str], task: str, unit: str = "image"
) -> tuple[list[Any], list[str]]:
    """What `function` finds in each item, and the faults of those it refuses or is brought down by.

    Args:
        function: raises InputError for what it refuses; run as `in_isolation` says, with `task` and `unit`.
        names: of the items, for messages.
    """
    found, faults = [], []
    outcomes = in_isolation(partial(_attempt, function), items, task, unit)
    for name, outcome in zip(names, outcomes, strict=True):
        if isinstance(outcome, Lost):
            faults.append(f"{name}: {outcome.reason}")
        elif isinstance(outcome, InputError):
            faults.append(str(outcome))
        else:
            found.append(outcome)
    return found, faults


def _attempt(function: Callable[[Any], Any], item: Any) -> Any:
    try:
        return function(item)
    except InputError as error:
        return error.with_traceback(None)
