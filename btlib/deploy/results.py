"""What the tables of both roads have in common: where they may go, and what is said of the model beside them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from btlib.errors import InputError


def refuse_filled(out: Path) -> None:
    """Raises InputError when `out` is there and not an empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: not an empty folder; name a new one, nothing is overwritten")


def about(card: Mapping[str, Any]) -> dict[str, Any]:
    """What of a model's card the tables need to be understood."""
    return {name: card[name] for name in ("intended_use", "data_note", "calibration", "unsure", "novelty")}
