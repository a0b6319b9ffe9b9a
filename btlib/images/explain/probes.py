"""Predictions for images whose lesion is hidden, pasted in, or shown in another contrast."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from btlib.core.metrics.predictions import predictions_table
from btlib.images.data.preprocessing import GrayLevels, preprocess
from btlib.images.data.splits import rows_of, sampled
from btlib.images.explain.contrast_match import gray_level_scores, matched
from btlib.images.explain.lesion_insertion import insert_lesions, sample_lesions
from btlib.images.explain.shortcut_probe import pretrained_backbones, probe, views
from btlib.images.nets.classifier import Classifier
from btlib.images.nets.inference import predict
from btlib.phantom.atlas import Atlas
from btlib.phantom.contrast_probe import contrast_slices

NO_TUMOR = "no_tumor"
SLICE = 224  # pixels of the phantom slices, before the usual preprocessing
SHOWN = 6  # images in a row of the figures


class Sample(NamedTuple):
    """N images: their row numbers in data/processed/, uint8 [N, S, S, 3], ids, and class names."""

    rows: np.ndarray
    images: np.ndarray
    image_ids: np.ndarray
    labels: np.ndarray

    def where(self, chosen: np.ndarray) -> "Sample":
        return Sample(*(values[chosen] for values in self))


def draw_sample(
    images: np.ndarray, index: pd.DataFrame, splits: pd.DataFrame, part: str, most: int, rng: np.random.Generator
) -> Sample:
    """At most `most` images of each class of one part of the split.

    Args:
        images, index: of data/processed/.
        splits: the table splits.csv.
    """
    names = index["label"].to_numpy()
    rows = sampled(rows_of(splits, index, part), names, most, rng)
    return Sample(rows, images[rows], index["image_id"].to_numpy()[rows], names[rows])


def occlusion(
    net: Classifier, states: Mapping[str, Mapping[str, Tensor]], train: Sample, test: Sample
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Predictions of the main model and a linear probe for each view, and example images by view.

    The probe needs features that are independent of the task, so it is left out without pretrained backbones.
    """
    tables, shown = [], {}
    backbones = pretrained_backbones(states)
    numbers = np.array([net.classes.index(label) for label in train.labels])
    for view, make in views(test.images.shape[1]).items():
        images = make(test.images)
        predicted = {"main": predict(net, images)}
        if backbones:
            predicted["probe"] = probe(backbones, make(train.images), numbers, images)
        for model, probabilities in predicted.items():
            part = predictions_table(test.image_ids, test.labels, probabilities, net.classes)
            tables.append(pd.DataFrame({"model": model, "view": view}, index=part.index).join(part))
        shown[view] = images[:SHOWN]
    return pd.concat(tables, ignore_index=True), shown


def lesion_insertion(
    net: Classifier, healthy: Sample, seed: int, count: int, atlas: Atlas
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Predictions of the main model for images without a tumour, before and after pasting `count` lesions per class."""
    parts, shown = [pd.DataFrame(columns=["image_id", "label", "pasted"])], {}
    made = {}
    if len(healthy.rows):
        lesions = sample_lesions(seed, net.classes, count, atlas)
        made = {name: insert_lesions(healthy.images, of, seed, healthy.rows) for name, of in lesions.items()}
        shown = {f"{name} pasted": images[:SHOWN] for name, images in made.items()}
        made = {"": healthy.images} | made
    for name, images in made.items():
        part = predictions_table(healthy.image_ids, healthy.labels, predict(net, images), net.classes)
        parts.append(part.assign(pasted=name))
    return pd.concat(parts, ignore_index=True), shown


def contrast_swap(
    net: Classifier, seed: int, subjects: int, size: int, levels: GrayLevels, atlas: Atlas
) -> pd.DataFrame:
    """Predictions of the main model for phantom slices, each in every contrast, at `size` pixels."""
    slices, labels, contrasts = contrast_slices(seed, subjects, SLICE, atlas)
    images = np.stack([preprocess(image, size, levels) for image in slices])
    names = [f"contrast{number}" for number in range(len(contrasts))]
    return predictions_table(names, labels, predict(net, images), net.classes).assign(contrast=contrasts)


def gray_level_matching(train: Sample, test: Sample) -> pd.DataFrame:
    """Probability of a tumour from grey levels alone, and which images it matches with one of the other kind."""
    table = pd.DataFrame({"image_id": test.image_ids, "label": test.labels, "score": np.nan, "matched": False})
    tumor = test.labels != NO_TUMOR
    if tumor.all():
        return table
    scores = gray_level_scores(train.images, train.labels != NO_TUMOR, test.images)
    return table.assign(score=scores, matched=matched(scores, tumor))
