"""Answer or say "unsure": the confidence from which on answers are given (selective prediction; Chow 1970)."""

import numpy as np

EVERYTHING_UNSURE = 2.0  # no confidence reaches it


def unsure_threshold(confidence: np.ndarray, correct: np.ndarray, error_rate: float) -> dict[str, float]:
    """The smallest confidence at or above which at most `error_rate` of the validation answers are wrong.

    It is one of the confidences given: below the lowest of them nothing is known. The share of wrong answers need not
    fall steadily with the threshold, so it may be above `error_rate` again at higher thresholds; what counts is the
    share among all answers that are given. Measured on the set that chose it, it is a little too good on new data.

    Args:
        confidence: [N] calibrated probability of the predicted class.
        correct: [N] whether that class is the true one.
        error_rate: in 0 … 1.

    Returns:
        For a model's card: `error_rate`, `threshold`, and of the validation answers how many there are
        (`validation_answers`), have at least that confidence (`validation_kept`) and are wrong among those
        (`validation_errors`). Where no threshold will do, it is above 1, so that every answer is unsure.
    """
    order = np.argsort(-confidence, kind="stable")
    descending, wrong = confidence[order], ~correct[order].astype(bool)
    last_of_ties = np.append(np.diff(descending) != 0, True)  # equal confidences are kept or dropped together
    kept = np.flatnonzero(last_of_ties) + 1
    errors = np.cumsum(wrong)[kept - 1]
    allowed = np.flatnonzero(errors <= error_rate * kept)
    found = {"error_rate": error_rate, "validation_answers": len(confidence)}
    if not len(allowed):
        return found | {"threshold": EVERYTHING_UNSURE, "validation_kept": 0, "validation_errors": 0}
    most = allowed[-1]
    counts = {"validation_kept": int(kept[most]), "validation_errors": int(errors[most])}
    return found | {"threshold": float(descending[kept[most] - 1]), **counts}
