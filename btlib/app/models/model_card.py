"""What the cards of both packed models say in the same words."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from btlib.app.models.novelty import Novelty
from btlib.core.runtime.artifacts import read_tensors
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.network_files import Card, read_described

NOVELTY = "novelty.safetensors"
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Calibration(BaseModel):
    """See `btlib.core.metrics.calibration.scale`."""

    temperature: Positive


class Unsure(BaseModel):
    """See `btlib.core.metrics.selective.unsure_threshold`."""

    error_rate: Fraction
    threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    validation_answers: Count
    validation_kept: Count
    validation_errors: Count


class Limit(BaseModel):
    """See `btlib.app.models.novelty.fit_novelty`."""

    quantile: Fraction
    threshold: Positive


def read_card(folder: Path, kind: type[Card], stage: str) -> Card:
    """The card of a model folder.

    Args:
        stage: which writes such a folder, for the messages.

    Raises:
        InputError: the folder or its card is missing, or the card lacks what prediction needs.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such model folder; `dvc repro {stage}` makes it, `dvc pull {stage}` fetches it")
    return read_described(folder, kind, f"make it anew with `dvc repro {stage}`")


def read_novelty(folder: Path, limit: Limit) -> Novelty:
    """What is familiar to the model of a folder. Raises InputError when the file is missing or damaged."""
    tensors, _ = read_tensors(folder / NOVELTY)
    try:
        return Novelty.from_tensors(tensors, limit.threshold)
    except InputError as error:
        raise InputError(f"{folder / NOVELTY}: {error}") from None
