"""The paper's pictures of the data: before and after preprocessing (Figures 2 and 3), samples (Figure 7)."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.images.data.classes import CLASSES
from btlib.images.data.preprocessing import Clahe, preprocess
from btlib.images.data.reading import open_image

SAMPLES = 6  # of each class in Figure 7


def write_pictures(
    folder: Path, root: Path, manifest: pd.DataFrame, image_size: int, clahe: Clahe, seed: int, note: str
) -> None:
    """Writes fig2_preprocessing.png, fig3_intensities.png and fig7_samples.png of images drawn by `seed`.

    Args:
        note: what each picture says above itself, for example that these are phantoms; '' for nothing.
    """
    samples = {name: _drawn(root, manifest, name, seed) for name in CLASSES if (manifest["label"] == name).any()}
    off = Clahe(False, clahe.clip_limit, clahe.tiles)
    pairs = {
        name: (preprocess(images[0], image_size, off), preprocess(images[0], image_size, clahe))
        for name, images in samples.items()
    }
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        titles = ("before", "after CLAHE" if clahe.enabled else "CLAHE is off")
        _save(_before_after(pairs, titles), temporary / "fig2_preprocessing.png", note)
        _save(_intensities(pairs, titles), temporary / "fig3_intensities.png", note)
        _save(_grid(samples), temporary / "fig7_samples.png", note)


def _drawn(root: Path, manifest: pd.DataFrame, label: str, seed: int) -> list[np.ndarray]:
    paths = manifest.loc[manifest["label"] == label, "path"].to_numpy()
    order = keyed_rng(seed, "pictures", label).permutation(len(paths))
    return [open_image(root, path) for path in paths[order[:SAMPLES]]]


def _before_after(pairs: dict[str, tuple[np.ndarray, np.ndarray]], titles: tuple[str, str]) -> Figure:
    figure = Figure(figsize=(2.2 * len(pairs), 4.6), layout="constrained")
    axes = figure.subplots(2, len(pairs), squeeze=False)
    for column, (name, pair) in enumerate(pairs.items()):
        for row, (title, image) in enumerate(zip(titles, pair, strict=True)):
            _show(axes[row, column], image, f"{name}, {title}")
    return figure


def _intensities(pairs: dict[str, tuple[np.ndarray, np.ndarray]], titles: tuple[str, str]) -> Figure:
    figure = Figure(figsize=(2.8 * len(pairs), 2.8), layout="constrained")
    axes = figure.subplots(1, len(pairs), squeeze=False, sharey=True)[0]
    for axis, (name, pair) in zip(axes, pairs.items(), strict=True):
        for title, image in zip(titles, pair, strict=True):
            # V of HSV is the largest channel. On a log scale, since the black background towers over everything.
            axis.hist(image.max(axis=-1).ravel(), bins=64, range=(0, 256), histtype="step", log=True, label=title)
        axis.set(title=name, xlabel="V (0–255)")
    axes[0].set_ylabel("pixels")
    axes[-1].legend(fontsize="small")
    return figure


def _grid(samples: dict[str, list[np.ndarray]]) -> Figure:
    figure = Figure(figsize=(1.6 * SAMPLES, 1.8 * len(samples)), layout="constrained")
    axes = figure.subplots(len(samples), SAMPLES, squeeze=False)
    for row, (name, images) in enumerate(samples.items()):
        for axis in axes[row]:
            axis.set_axis_off()
        for axis, image in zip(axes[row], images, strict=False):
            _show(axis, image, name)
    return figure


def _show(axis, image: np.ndarray, title: str) -> None:
    axis.imshow(image)
    axis.set_title(title, fontsize="small")
    axis.set_axis_off()


def _save(figure: Figure, path: Path, note: str) -> None:
    if note:
        figure.suptitle(note)
    figure.savefig(path, dpi=120)
