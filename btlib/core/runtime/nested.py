"""Nested values as dotted keys."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """{'mixup_alpha': 0.2, 'training.loss': 'focal', …} of nested mappings, namespaces or pydantic models.

    An empty mapping is kept as a value, since it has no keys.
    """
    flat = {}
    for name, value in _items(values):
        nested = isinstance(value, Mapping | SimpleNamespace) or hasattr(value, "model_dump")
        flat |= flatten(value, f"{prefix}{name}.") if nested and _items(value) else {f"{prefix}{name}": value}
    return flat


def _items(values: Any) -> list[tuple[str, Any]]:
    if isinstance(values, SimpleNamespace):
        return list(vars(values).items())
    return list((values if isinstance(values, Mapping) else values.model_dump()).items())
