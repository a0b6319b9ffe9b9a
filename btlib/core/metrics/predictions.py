"""The predictions table, the only input of every metric."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import read_csv
from btlib.core.runtime.errors import InputError, listed

ROW_SUM_TOLERANCE = 1e-4  # float32 softmax rows are off by about 1e-7


@dataclass(frozen=True)
class Predictions:
    """A checked predictions table.

    Attributes:
        image_ids: [N] unique names.
        labels: [N] true class numbers, 0 … K-1; every class occurs.
        probabilities: [N, K] float64 in 0 … 1, rows sum to 1.
        classes: K names.
    """

    image_ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]

    @property
    def predicted(self) -> np.ndarray:
        """[N] most probable class numbers; the first class wins a tie."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> np.ndarray:
        """[N] probability of the predicted class."""
        return self.probabilities.max(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """[N] whether the predicted class is the true one."""
        return self.predicted == self.labels

    @property
    def onehot(self) -> np.ndarray:
        """[N, K] labels as 0/1."""
        return np.eye(len(self.classes), dtype=int)[self.labels]


def predictions_table(
    image_ids: Sequence[str], labels: Sequence[str], probabilities: np.ndarray, classes: Sequence[str]
) -> pd.DataFrame:
    """The table as written to disk: image_id, label, and one p_<class> column per class.

    Args:
        image_ids: N names.
        labels: N class names.
        probabilities: [N, K], columns in the order of `classes`.
        classes: K names.
    """
    table = pd.DataFrame({"image_id": list(image_ids), "label": list(labels)})
    return table.assign(**{f"p_{name}": probabilities[:, k] for k, name in enumerate(classes)})


def read_predictions(path: Path, classes: Sequence[str]) -> Predictions:
    """Reads and checks a table from `predictions_table`; raises the same errors as `checked_predictions`."""
    return checked_predictions(read_csv(path, text=("image_id", "label")), classes, str(path))


def checked_predictions(table: pd.DataFrame, classes: Sequence[str], origin: str) -> Predictions:
    """Checks a table from `predictions_table`.

    Args:
        origin: source of the table, for messages.

    Raises:
        InputError: missing columns, duplicate or empty ids, unknown labels, a class without images, or probabilities
            that are not numbers, are outside 0 … 1, or do not sum to 1. All faults are listed at once.
    """
    columns = [f"p_{name}" for name in classes]
    missing = [name for name in ("image_id", "label", *columns) if name not in table.columns]
    extra = [name for name in table.columns if name.startswith("p_") and name not in columns]
    if missing or extra:
        raise InputError(f"{origin}: missing columns {missing}, unexpected columns {extra}; run `dvc repro` again")
    faults = _label_faults(table, classes) + _probability_faults(table, columns)
    if faults:
        raise InputError(f"{origin}:\n{listed(faults)}\nRun `dvc repro` to write the table again.")
    return Predictions(
        image_ids=table["image_id"].to_numpy(dtype=object),
        labels=pd.Categorical(table["label"], categories=list(classes)).codes.astype(int),
        probabilities=table[columns].to_numpy(dtype=np.float64),
        classes=tuple(classes),
    )


def classes_in(table: pd.DataFrame) -> list[str]:
    """The classes that have a column in a predictions table, in column order."""
    return [name.removeprefix("p_") for name in table.columns if name.startswith("p_")]


def groups_of(manifest: Path, image_ids: Sequence[str]) -> np.ndarray:
    """[N] group number of each image, from the manifest."""
    group_of = read_csv(manifest, text=("image_id",)).set_index("image_id")["group"]
    return group_of[list(image_ids)].to_numpy()


def mismatch(first: Predictions, other: Predictions) -> str | None:
    """The reason that two tables cannot be compared image by image; None if they can."""
    if first.classes != other.classes:
        return f"the classes are {', '.join(other.classes)}, not {', '.join(first.classes)}"
    strays = sorted(set(first.image_ids) ^ set(other.image_ids))
    if strays:
        return f"{len(strays)} image ids are in only one of the two, such as '{strays[0]}'"
    if not np.array_equal(first.image_ids, other.image_ids):
        return "the images are in a different order"
    if not np.array_equal(first.labels, other.labels):
        return f"{(first.labels != other.labels).sum()} images have a different label"
    return None


def _label_faults(table: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    repeated = sorted(set(table["image_id"][table["image_id"].duplicated()]))
    unknown = sorted(set(table["label"]) - set(classes))
    absent = [name for name in classes if name not in set(table["label"])]
    return (
        [f"image_id '{name}' occurs more than once" for name in repeated]
        + [f"unknown label '{name}'; the classes are {', '.join(classes)}" for name in unknown]
        + [f"class '{name}' has no images, so its recall and AUC are undefined; add images" for name in absent]
    )


def _probability_faults(table: pd.DataFrame, columns: list[str]) -> list[str]:
    words = [name for name in columns if not pd.api.types.is_numeric_dtype(table[name])]
    if words:
        return [f"column {name} is not numeric" for name in words]
    values = table[columns].to_numpy(dtype=np.float64)
    not_finite = ~np.isfinite(values).all(axis=1)
    outside = ~not_finite & ((values < 0) | (values > 1)).any(axis=1)
    unsummed = ~not_finite & ~outside & (np.abs(values.sum(axis=1) - 1) > ROW_SUM_TOLERANCE)
    faults = []
    for rows, what in ((not_finite, "NaN or infinite"), (outside, "outside 0 … 1"), (unsummed, "not summing to 1")):
        faults += [
            f"image_id '{table['image_id'][row]}': probabilities {what}: {values[row]}" for row in np.flatnonzero(rows)
        ]
    return faults
