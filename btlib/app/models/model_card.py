"""Card fields shared by both packed models."""

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
    """Reads the card of a model folder.

    Args:
        stage: the stage that writes the folder, for messages.

    Raises:
        InputError: the folder or its card is missing, or the card lacks a field that prediction needs.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such model folder; create it with `dvc repro {stage}` or fetch it with `dvc pull {stage}`"
        )
    return read_described(folder, kind, f"recreate it with `dvc repro {stage}`")


def read_novelty(folder: Path, limit: Limit) -> Novelty:
    """Reads the novelty detector of a model folder. Raises InputError when the file is missing or damaged."""
    tensors, _ = read_tensors(folder / NOVELTY)
    try:
        return Novelty.from_tensors(tensors, limit.threshold)
    except InputError as error:
        raise InputError(f"{folder / NOVELTY}: {error}") from None
