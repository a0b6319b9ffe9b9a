"""Learning rates as pure functions of the step, so that resuming needs no scheduler state."""

import math


def learning_rate(kind: str, peak: float, step: int, total: int) -> float:
    """The learning rate at `step` of `total`.

    'constant'; 'cosine': from the peak to 0; 'one_cycle' (Smith 2018, as in torch's OneCycleLR): from peak / 25 to the
    peak over the first 30 % of the steps, then to a ten-thousandth of the initial rate, both along cosines.
    """
    if kind == "constant":
        return peak
    if kind == "cosine":
        return _cosine(peak, 0.0, step / total)
    start, turn = peak / 25, 0.3 * total - 1
    if step <= turn:
        return _cosine(start, peak, step / turn)
    return _cosine(peak, start / 1e4, (step - turn) / (total - 1 - turn))


def _cosine(first: float, last: float, part: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * part)) / 2
