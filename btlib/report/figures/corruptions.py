"""Every corruption at every severity, for readers to judge how strong they are."""

import numpy as np
from matplotlib.figure import Figure

from btlib.images.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from btlib.report.figures.numbers import spoken


def corruption_sheet(image: np.ndarray, seed: int, number: int) -> Figure:
    """One image, clean at the left, under each corruption (rows) and severity (columns).

    Args:
        image: uint8 [H, W, 3].
        seed, number: as for `corrupt`: with the test image's own number the sheet shows what was evaluated.
    """
    figure = Figure(figsize=(1.5 * (1 + len(SEVERITIES)), 1.52 * len(CORRUPTIONS) + 0.4), layout="constrained")
    grid = figure.subplots(len(CORRUPTIONS), 1 + len(SEVERITIES))
    for axes_row, name in zip(grid, CORRUPTIONS, strict=True):
        shown = [image, *(corrupt(image[None], name, severity, seed, [number])[0] for severity in SEVERITIES)]
        for axes, picture in zip(axes_row, shown, strict=True):
            axes.imshow(picture)
            axes.set(xticks=[], yticks=[])
        axes_row[0].set_ylabel(spoken(name))
    for axes, title in zip(grid[0], ("clean", *(f"severity {severity}" for severity in SEVERITIES)), strict=True):
        axes.set_title(title, fontsize="medium")
    return figure
