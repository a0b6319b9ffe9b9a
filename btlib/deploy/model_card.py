"""What the cards of both packed models say in the same words."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from btlib.artifacts import read_json
from btlib.errors import InputError
from btlib.nets.files import CARD


class Calibration(BaseModel):
    """See `btlib.evaluation.calibration.scale`."""

    temperature: float


class Unsure(BaseModel):
    """See `btlib.evaluation.selective.unsure_threshold`."""

    error_rate: float
    threshold: float
    validation_answers: int
    validation_kept: int
    validation_errors: int


class Limit(BaseModel):
    """See `btlib.inference.novelty.fit_novelty`."""

    quantile: float
    threshold: float


Card = TypeVar("Card", bound=BaseModel)


def read_card(folder: Path, kind: type[Card], stage: str) -> Card:
    """The card of a model folder.

    Args:
        stage: which writes such a folder, for the messages.

    Raises:
        InputError: the folder or its card is missing, or the card lacks what prediction needs.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such model folder; `dvc repro {stage}` makes it, `dvc pull {stage}` fetches it")
    try:
        return kind.model_validate(read_json(folder / CARD))
    except ValidationError as error:
        keys = sorted({".".join(map(str, fault["loc"])) for fault in error.errors()})
        raise InputError(
            f"{folder / CARD}: missing or wrong: {', '.join(keys)}; make it anew with `dvc repro {stage}`"
        ) from None
