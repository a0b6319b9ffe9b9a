"""How numbers and names are written: their digits and units, intervals, and differences from other values."""

from collections.abc import Sequence
from typing import NamedTuple

NOTHING = "–"  # undefined, or not there
MINUS = "−"
GLUE = "\N{NO-BREAK SPACE}"  # within what must stay on one line
PERCENT = f"{GLUE}%"


class Score(NamedTuple):
    """How one score is written.

    Attributes:
        digits: after the point.
        unit: by which values are multiplied, 100 for percent.
        behind: what stands behind a value, such as ' %'.
    """

    name: str
    digits: int = 3
    unit: float = 1.0
    behind: str = ""

    def said(self, value: float | None) -> str:
        """'63.89 %'."""
        return NOTHING if value is None else f"{_number(value * self.unit, self.digits)}{self.behind}"

    def interval(self, ends: Sequence[float] | None) -> str:
        """'[52.78, 75.00]'."""
        if ends is None:
            return NOTHING
        return _between([_number(end * self.unit, self.digits) for end in ends])

    def estimate(self, value: float | None, ends: Sequence[float] | None) -> str:
        """'63.89 % [52.78, 75.00]'."""
        return NOTHING if value is None else f"{self.said(value)} {self.interval(ends)}" if ends else self.said(value)

    def spread(self, mean: float | None, sd: float | None) -> str:
        """'63.89 ± 1.20 %', without the ± where there is one seed."""
        if mean is None or sd is None:
            return self.said(mean)
        return (
            f"{_number(mean * self.unit, self.digits)}{GLUE}±{GLUE}{_number(sd * self.unit, self.digits)}{self.behind}"
        )

    def signed(self, value: float | None, ends: Sequence[float] | None = None) -> str:
        """A difference: '−1.20 [−2.00, +0.10]'."""
        if value is None:
            return NOTHING
        number = _number(value * self.unit, self.digits, "+")
        if not ends:
            return number
        return f"{number} {_between([_number(end * self.unit, self.digits, '+') for end in ends])}"

    def difference(self, ours: float | None, paper: float | None, ends: Sequence[float] | None = None) -> str:
        """Ours minus the paper's, with our interval moved likewise: the paper prints none of its own."""
        if ours is None or paper is None:
            return NOTHING
        return self.signed(ours - paper, [end - paper for end in ends] if ends else None)


SHARE = Score("share", 1, 100.0, PERCENT)


def p_value(p: float | None) -> str:
    """'0.012', '< 0.001'."""
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(number: int) -> str:
    """'7,023'."""
    return f"{number:,}"


def spoken(name: str) -> str:
    """'no_tumor' as 'no tumor'."""
    return name.replace("_", " ")


def _between(ends: Sequence[str]) -> str:
    return f"[{f',{GLUE}'.join(ends)}]"


def _number(value: float, digits: int, sign: str = "") -> str:
    text = f"{value:{sign}.{digits}f}"
    if float(text) == 0:
        text = text.replace("-", "+" if sign else "")  # no minus zero
    return text.replace("-", MINUS)
