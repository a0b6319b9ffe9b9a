"""The page's import of UNCERTAINTY_NAMES, which volume_tables.py defines."""

from btlib.report.figures.volume_tables import UNCERTAINTY_NAMES

__all__ = ["UNCERTAINTY_NAMES"]
