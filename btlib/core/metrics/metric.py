"""Metric entries: function, titles, number format and source."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np


class Shown(IntEnum):
    """The place where the report shows a metric; each level includes those above it."""

    EVERYWHERE = 0  # arms of an ablation, folds, forest plots, the terminal
    SUMMARY = 1  # the report's first page and the table of recorded runs
    DETAIL = 2  # the study's own table


@dataclass(frozen=True)
class Metric:
    """A score with a confidence interval.

    Attributes:
        name: its key in metrics/ and data/tables/.
        function: takes data in which row n counts weights[b, n] times and returns [B] values, NaN where undefined.
        title: for table headers.
        source: the paper, equation or table that defines it.
        short: for figures; if empty, the title is used.
        digits: decimal places.
        unit: '%' for a share in 0 … 1 that is shown as a percentage, 'mm', or '' for none.
        higher_is_better: False for errors and losses.
        scaled: whether it is computed from temperature-scaled probabilities.
    """

    name: str
    function: Callable[..., np.ndarray]
    title: str
    source: str
    short: str = ""
    digits: int = 3
    unit: str = ""
    higher_is_better: bool = True
    shown: Shown = Shown.DETAIL
    scaled: bool = False

    @property
    def label(self) -> str:
        """The short title, or the full one if there is none."""
        return self.short or self.title


def temperature_scaled(metric: Metric) -> Metric:
    """The same metric of the temperature-scaled probabilities."""
    return replace(
        metric,
        name=f"{metric.name}_temperature_scaled",
        title=f"{metric.label} after temperature scaling",
        source="Guo et al. 2017, section 4.2",
        short="",
        shown=Shown.DETAIL,
        scaled=True,
    )


def registry(metrics: Iterable[Metric]) -> dict[str, Metric]:
    """Name -> metric, in the given order. Raises ValueError if two share a name."""
    found: dict[str, Metric] = {}
    for metric in metrics:
        if metric.name in found:
            raise ValueError(f"two metrics are called '{metric.name}'")
        found[metric.name] = metric
    return found


def names(metrics: Iterable[Metric], shown: Shown) -> tuple[str, ...]:
    """Names of the metrics shown at this level."""
    return tuple(metric.name for metric in metrics if metric.shown <= shown)
