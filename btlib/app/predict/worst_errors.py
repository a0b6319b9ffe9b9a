"""The worst errors on a data set: missed tumours and false alarms of the highest confidence."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from btlib.app.predict.overlays import overlay
from btlib.app.predict.slices import SliceAnswer
from btlib.core.metrics.outlines import OUTLINED
from btlib.images.data.tumor_or_none import NONE
from btlib.images.explain.lesions import resized_mask
from btlib.report.figures.overlays import FOUND_LINE, TRUE_LINE, draw_line, legend_mark
from btlib.report.figures.wording import spoken

EACH = 8  # errors shown of either kind
SIDE = 224  # pixels of the longer side as shown; blending a scanned film at full size would take a gigabyte
MISSED, ALARM = "missed tumours", "false alarms"
TRUE, FOUND = "true outline of the lesion", "predicted outline"


class Shown(NamedTuple):
    """One error to show.

    image: uint8 [H, W, 3]; warm: the same under its heat map; lesion: bool [H, W] (if any); predicted: float32 [H, W]
    probability of a lesion, None without a lesion head; caption: the predicted class and its probability, nothing about
    the patient.
    """

    image: np.ndarray
    warm: np.ndarray
    lesion: np.ndarray
    predicted: np.ndarray | None
    caption: str

    @classmethod
    def small(cls, image: np.ndarray, answer: SliceAnswer, lesion: np.ndarray) -> "Shown":
        """From an image, the answer with its maps and the lesion, all on the image's own grid."""
        scale = min(1.0, SIDE / max(image.shape[:2]))
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        small, heat, predicted = (
            None if one is None else cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA)
            for one in (image, answer.heat, answer.lesion)
        )
        caption = f"{spoken(answer.label)} {answer.confidence:.1%}"
        if answer.label != NONE:
            caption += f"\n{spoken(NONE)} {answer.probabilities[NONE]:.1%}"
        warm = overlay(small, np.clip(heat, 0, 1))
        return cls(small, warm, resized_mask(lesion, (height, width)), predicted, caption)


def worst_rows(table: pd.DataFrame, classes: Sequence[str]) -> dict[str, list[int]]:
    """Kind of error -> indices of the rows to show, worst first, at most `EACH`.

    Args:
        table: from `write_external`.
        classes: the network's, in its order.
    """
    predicted = table[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
    predicted_none, is_none = predicted == list(classes).index(NONE), (table["label"] == NONE).to_numpy()
    p_none = table[f"p_{NONE}"].to_numpy()
    missed, alarms = np.flatnonzero(predicted_none & ~is_none), np.flatnonzero(~predicted_none & is_none)
    return {
        MISSED: missed[np.argsort(-p_none[missed], kind="stable")][:EACH].tolist(),
        ALARM: alarms[np.argsort(p_none[alarms], kind="stable")][:EACH].tolist(),
    }


def worst_figure(shown: Mapping[str, Sequence[Shown]]) -> Figure:
    """For each kind of error, one row of images and one of their Grad-CAM overlays, with the lesions' outlines.

    A legend tells the predicted outlines from the true ones, if the network predicts any.

    Args:
        shown: kind of error -> errors to show; a kind without errors gets no rows.
    """
    kinds = {kind: errors for kind, errors in shown.items() if errors}
    width = max(map(len, kinds.values()))
    figure = Figure(figsize=(max(4.5, 1.5 * width + 0.4), 3.6 * len(kinds) + 0.5), layout="constrained")
    grid = figure.subplots(2 * len(kinds), width, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for number, (kind, errors) in enumerate(kinds.items()):
        above, below = grid[2 * number], grid[2 * number + 1]
        above[0].set_ylabel(kind, fontsize=10)
        below[0].set_ylabel("Grad-CAM", fontsize=10)
        for first, second, error in zip(above, below, errors, strict=False):
            _panel(first, error.image, error)
            _panel(second, error.warm, error)
            first.set_title(error.caption, fontsize=8)
    figure.suptitle("The worst errors, worst first")
    every = [error for errors in kinds.values() for error in errors]
    if any(error.predicted is not None for error in every):
        lines = ({TRUE: TRUE_LINE} if any(error.lesion.any() for error in every) else {}) | {FOUND: FOUND_LINE}
        style = {"loc": "outside lower center", "ncols": len(lines), "fontsize": 8, "frameon": False, "handlelength": 3}
        figure.legend([legend_mark(line) for line in lines.values()], list(lines), **style)
    return figure


def _panel(axes: Axes, picture: np.ndarray, error: Shown) -> None:
    axes.imshow(picture)
    draw_line(axes, error.lesion, 0.5, TRUE_LINE)
    if error.predicted is not None:
        draw_line(axes, error.predicted, OUTLINED, FOUND_LINE)
