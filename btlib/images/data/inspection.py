"""Inspects many untrusted files and collects their faults, so that one run lists them all."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.isolation import Lost, in_isolation


def inspected(
    function: Callable[[Any], Any], items: Sequence[Any], names: Sequence[str], task: str, unit: str = "image"
) -> tuple[list[Any], list[str]]:
    """Results of `function` for the items, and the faults of those that it refuses or that crash it.

    Args:
        function: raises InputError for refused items; run by `in_isolation`, with `task` and `unit`.
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
