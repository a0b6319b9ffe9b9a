"""Training history of a single arm, for the card of its network."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from btlib.core.runtime.reproducibility import environment
from btlib.core.training.arms import Arm, ArmSettings
from btlib.core.training.loop import refuse_failed


def training_card(stage: str, settings: ArmSettings, trained: Sequence[Arm], rates: str) -> dict[str, Any]:
    """Stage, settings, history by epoch and environment.

    Args:
        trained: the arm, or empty if the stage has no epochs.
        rates: keys of params.yaml to name if training diverged.

    Raises:
        InputError: training diverged.
    """
    history: list[dict[str, Any]] = []
    for arm in trained:
        refuse_failed(arm, rates)
        history = arm.readouts[0].progress.history
    return {"stage": stage, "settings": asdict(settings), "history": history, "environment": environment()}
