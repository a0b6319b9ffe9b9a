"""Training curves, live through DVCLive."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvclive import Live

from btlib.core.training.loop import OnEpoch


@contextmanager
def live_curves(folder: Path, writes: bool) -> Iterator[OnEpoch]:
    """Yields an `on_epoch` that feeds a DVCLive logger, which writes only to `folder`.

    Args:
        writes: whether this process logs; only the first of several may.
    """
    folder.mkdir(parents=True, exist_ok=True)  # an output of its stage even if there are no epochs
    # Without these options DVCLive edits dvc.yaml and records an experiment for every run.
    live = Live(dir=str(folder), dvcyaml=None, save_dvc_exp=False, report=None)

    def on_epoch(arm: str, row: dict[str, Any]) -> None:
        if not writes:
            return
        live.step = row["epoch"]
        for name, value in row.items():
            if name != "epoch":
                live.log_metric(f"{arm}/{name}", value)
        live.make_summary()

    yield on_epoch
    live.end()
