"""Do grey levels alone reveal the tumour? Matches images with and without a tumour by a grey-level score.

If the tumour classes are T1 post-contrast and the healthy ones a mix of contrasts, a classifier can be right without
seeing a lesion. Among matched images, contrast alone is right on half. A bright lesion contributes to the grey levels
too, so matching favours inconspicuous lesions.
"""

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from btlib.images.data.occlusion import head_mask

BINS = 32
CALIPER = 0.2  # standard deviations of the logit (Austin, Pharmaceutical Statistics 10, 2011)
EDGE = np.finfo(float).eps  # keeps the logit of a score of 0 or 1 finite


def gray_level_scores(train_images: np.ndarray, train_tumor: np.ndarray, test_images: np.ndarray) -> np.ndarray:
    """Probability [N_test] of a tumour from the grey levels of the head alone, by logistic regression.

    Args:
        train_images, test_images: uint8 [N, S, S, 3].
        train_tumor: bool [N_train], including both values.
    """
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(gray_levels(train_images), train_tumor)
    return classifier.predict_proba(gray_levels(test_images))[:, 1]


def gray_levels(images: np.ndarray) -> np.ndarray:
    """[N, BINS] histogram of the head's grey levels, as shares; contains no spatial information."""
    heads = head_mask(images)
    counts = [np.histogram(i[h].mean(axis=1), BINS, (0, 256))[0] for i, h in zip(images, heads, strict=True)]
    return np.array(counts) / np.maximum(np.sum(counts, axis=1, keepdims=True), 1)


def matched(scores: np.ndarray, tumor: np.ndarray) -> np.ndarray:
    """One-to-one nearest-neighbour matching within a caliper: bool [N], whether an image has a partner.

    Greedy and deterministic: closest pairs first, earlier images first on ties. The caliper uses the standard deviation
    within the two groups: that of all images grows with the gap between the groups and would pair images that the
    scores still separate.

    Args:
        scores: [N] of `gray_level_scores`.
        tumor: bool [N], including both values.
    """
    place = logit(np.clip(scores, EDGE, 1 - EDGE))
    with_tumor, without = np.flatnonzero(tumor), np.flatnonzero(~tumor)
    reach = CALIPER * np.sqrt((place[with_tumor].var() + place[without].var()) / 2)
    distance = np.abs(place[with_tumor][:, None] - place[without][None])
    chosen = np.zeros(len(scores), bool)
    for pair in np.argsort(distance, axis=None, kind="stable"):
        row, column = np.unravel_index(pair, distance.shape)
        if distance[row, column] > reach:
            break
        if not chosen[with_tumor[row]] and not chosen[without[column]]:
            chosen[[with_tumor[row], without[column]]] = True
    return chosen
