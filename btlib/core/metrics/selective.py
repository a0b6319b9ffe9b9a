"""Selective prediction (Chow 1970): the confidence below which the answer is "unsure"."""

import numpy as np

EVERYTHING_UNSURE = 2.0  # no confidence reaches it


def unsure_threshold(confidence: np.ndarray, correct: np.ndarray, error_rate: float) -> dict[str, float]:
    """The smallest confidence at or above which at most `error_rate` of the validation answers are wrong.

    It is one of the given confidences, since nothing is known below the lowest. The error rate is not monotonic in the
    threshold, so it may exceed `error_rate` again at higher ones; what counts is the rate among all kept answers. The
    threshold is slightly optimistic, since the same answers are used to choose and to measure it.

    Args:
        confidence: [N] calibrated probability of the predicted class.
        correct: [N] whether that class is the true one.
        error_rate: in 0 … 1.

    Returns:
        For the model card: `error_rate`, `threshold`, and the numbers of validation answers (`validation_answers`), of
        those at or above the threshold (`validation_kept`) and of errors among these (`validation_errors`). If no
        confidence meets the error rate, the threshold is above 1, so that every answer is unsure.
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
