"""Trains one arm by itself: with live curves, a figure of them, a card, and a state to resume from."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.reproducibility import environment
from btlib.core.training.arms import Arm, ArmSettings
from btlib.core.training.curves import draw_curves, live_curves
from btlib.core.training.loop import OnEpoch, refuse_failed
from btlib.core.training.resume import ResumeState


def train_single(
    stage: str,
    settings: ArmSettings,
    resume: ResumeState,
    train: Callable[[ResumeState, OnEpoch], list[Arm]] | None,
    save: Callable[[Path, dict[str, Any]], None],
    rates: str,
    fabric: Fabric,
    out: Path,
    curves: Path,
    note: str,
) -> None:
    """Trains, or passes the network on as it is, and writes model, card and curves; then the state goes.

    Args:
        train: trains a list of one arm; None when the stage has no epochs.
        save: writes the network and the card into a folder.
        rates: keys of params.yaml to name when training diverges.
        out: folder for the model.
        curves: folder for DVCLive's files and curves.png.
        note: what the figure says besides its title, for example that these are phantoms; '' for nothing.

    Raises:
        InputError: training diverged; nothing is written.
    """
    history: list[dict[str, Any]] = []
    score = "score"
    if train:
        live, on_epoch = live_curves(curves, fabric.is_global_zero)
        (arm,) = train(resume, on_epoch)
        live.end()
        refuse_failed(arm, rates)
        history, score = arm.readouts[0].progress.history, arm.learner.score
    if not fabric.is_global_zero:
        return
    title = f"{stage}: training and validation" + (f" ({note})" if note else "")
    draw_curves(curves / "curves.png", history, score, title)
    card = {"stage": stage, "settings": asdict(settings), "history": history, "environment": environment()}
    with atomic_path(out) as folder:
        save(folder, card)
    resume.delete()
