"""The paper's pictures of the data: before and after preprocessing (Figures 2 and 3), samples (Figure 7)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.images.data.classes import CLASSES
from btlib.images.data.preprocessing import Clahe, GrayLevels, preprocess
from btlib.images.data.reading import open_image
from btlib.report.figures.numbers import spoken
from btlib.report.figures.style import SERIES

SAMPLES = 6  # of each class in Figure 7
Pairs = Mapping[str, tuple[np.ndarray, np.ndarray]]  # class -> one image before and after, uint8 [S, S, 3]


def data_figures(
    root: Path, manifest: pd.DataFrame, image_size: int, levels: GrayLevels, seed: int
) -> dict[str, Figure]:
    """Figures 2, 3 and 7 by name, of images drawn by `seed`.

    Args:
        root: the folder below which the manifest's paths lie.
        image_size: side S of the preprocessed images, in pixels.
    """
    samples = {name: _drawn(root, manifest, name, seed) for name in CLASSES if (manifest["label"] == name).any()}
    clahe = levels.clahe
    off = GrayLevels(None, Clahe(False, clahe.clip_limit, clahe.tiles))
    pairs = {
        name: (preprocess(images[0], image_size, off), preprocess(images[0], image_size, levels))
        for name, images in samples.items()
    }
    titles = ("before", "after CLAHE" if clahe.enabled else "CLAHE is off")
    return {
        "fig2_preprocessing": _before_after(pairs, titles),
        "fig3_intensities": _intensities(pairs, titles),
        "fig7_samples": _grid(samples),
    }


def _drawn(root: Path, manifest: pd.DataFrame, label: str, seed: int) -> list[np.ndarray]:
    paths = manifest.loc[manifest["label"] == label, "path"].to_numpy()
    order = keyed_rng(seed, "pictures", label).permutation(len(paths))
    return [open_image(root, path) for path in paths[order[:SAMPLES]]]


def _before_after(pairs: Pairs, titles: tuple[str, str]) -> Figure:
    figure = Figure(figsize=(2.2 * len(pairs), 4.6), layout="constrained")
    axes = figure.subplots(2, len(pairs), squeeze=False)
    for column, (name, pair) in enumerate(pairs.items()):
        for row, (title, image) in enumerate(zip(titles, pair, strict=True)):
            _show(axes[row, column], image, f"{spoken(name)}, {title}")
    return figure


def _intensities(pairs: Pairs, titles: tuple[str, str]) -> Figure:
    figure = Figure(figsize=(2.8 * len(pairs), 2.8), layout="constrained")
    axes = figure.subplots(1, len(pairs), squeeze=False, sharey=True)[0]
    for axis, (name, pair) in zip(axes, pairs.items(), strict=True):
        for title, image, color in zip(titles, pair, SERIES, strict=False):
            # V of HSV is the largest channel. On a log scale, since the black background towers over everything.
            value = image.max(axis=-1).ravel()
            axis.hist(value, bins=64, range=(0, 256), histtype="step", log=True, color=color, label=title)
        axis.set(title=spoken(name), xlabel="V (0–255)")
    axes[0].set_ylabel("pixels")
    axes[-1].legend(fontsize="small")
    return figure


def _grid(samples: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    figure = Figure(figsize=(1.6 * SAMPLES, 1.8 * len(samples)), layout="constrained")
    axes = figure.subplots(len(samples), SAMPLES, squeeze=False)
    for row, (name, images) in enumerate(samples.items()):
        for axis in axes[row]:
            axis.set_axis_off()
        for axis, image in zip(axes[row], images, strict=False):
            _show(axis, image, spoken(name))
    return figure


def _show(axis: Axes, image: np.ndarray, title: str) -> None:
    axis.imshow(image)
    axis.set_title(title, fontsize="small")
    axis.set_axis_off()
