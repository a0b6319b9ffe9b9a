"""Writes the phantom data set: class folders of images, lesion masks, a table of subjects."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.workers import in_parallel
from btlib.phantom.atlas import Atlas, load_atlas
from btlib.phantom.slices import PLANES, Slice, sample_slice
from btlib.phantom.subject import sample_subject
from btlib.phantom.tumors import LABELS

COLUMNS = ("path", "label", "patient", "mask_path", "plane", "modality")


@dataclass(frozen=True)
class Plan:
    """Size of the data set; `duplicates`: number of copies, alternately exact, re-encoded and mirrored."""

    seed: int
    subjects_per_class: int
    slices_per_subject: int
    image_size: int
    duplicates: int


def write_dataset(folder: Path, plan: Plan, atlas: Atlas | None = None, workers: int | None = None) -> pd.DataFrame:
    """Writes the data set to `folder` atomically; the bytes do not depend on `workers`.

    Images go to `images/<class>/`, masks of tumours to `masks/<class>/`, both as 8-bit PNG (re-encoded copies as JPEG).
    `subjects.csv` lists them with paths relative to `folder`; copies have no patient there, as in public sets, so that
    they can be detected only by their pixels.

    Returns:
        The table, with COLUMNS.
    """
    atlas = atlas or load_atlas()
    jobs = [(label, number) for label in LABELS for number in range(plan.subjects_per_class)]
    with atomic_path(folder) as temporary:
        for label in LABELS:
            (temporary / "images" / label).mkdir(parents=True)
            (temporary / "masks" / label).mkdir(parents=True)
        rows = []
        make = partial(make_subject, plan=plan, atlas=atlas)
        made = in_parallel(make, jobs, "phantom subjects", "subject", batch=1, jobs=workers)
        for (label, number), slices in zip(jobs, made, strict=True):
            for index, item in enumerate(slices):
                rows.append(_write_slice(temporary, label, f"{label}_{number:03d}_{index}", item))
                rows[-1]["patient"] = f"phantom-{LABELS.index(label)}{number:03d}"
        rows += _write_duplicates(temporary, rows, plan)
        table = pd.DataFrame(rows, columns=COLUMNS)
        table.to_csv(temporary / "subjects.csv", index=False)
    return table


def make_subject(of: tuple[str, int], plan: Plan, atlas: Atlas) -> list[Slice]:
    """The slices of one subject, given its label and number, in alternating planes."""
    label, number = of
    subject = sample_subject(plan.seed, label, number, atlas)
    return [
        sample_slice(
            keyed_rng(plan.seed, "phantom slice", label, number, index),
            subject,
            PLANES[(number + index) % len(PLANES)],
            plan.image_size,
        )
        for index in range(plan.slices_per_subject)
    ]


def _write_slice(folder: Path, label: str, name: str, item: Slice) -> dict[str, str]:
    path = f"images/{label}/{name}.png"
    write_image(folder / path, item.image)
    mask_path = ""
    if item.mask.any():
        mask_path = f"masks/{label}/{name}.png"
        write_image(folder / mask_path, item.mask.astype(np.uint8) * 255)
    return {"path": path, "label": label, "mask_path": mask_path, "plane": item.plane, "modality": item.modality}


def _write_duplicates(folder: Path, rows: list[dict[str, str]], plan: Plan) -> list[dict[str, str]]:
    """Copies of random slices without a patient: alternately exact, JPEG-compressed, and mirrored left to right."""
    rng = keyed_rng(plan.seed, "phantom duplicates")
    chosen = rng.choice(len(rows), min(plan.duplicates, len(rows)), replace=False)
    copies = []
    for number, original in enumerate(rows[i] for i in chosen):
        name = f"{original['label']}_copy_{number:02d}"
        image = cv2.imread(str(folder / original["path"]), cv2.IMREAD_GRAYSCALE)
        mirrored = number % 3 == 2
        path = f"images/{original['label']}/{name}.{'jpg' if number % 3 == 1 else 'png'}"
        write_image(folder / path, image[:, ::-1] if mirrored else image)
        mask_path = ""
        if original["mask_path"]:
            mask_path = f"masks/{original['label']}/{name}.png"
            mask = cv2.imread(str(folder / original["mask_path"]), cv2.IMREAD_GRAYSCALE)
            write_image(folder / mask_path, mask[:, ::-1] if mirrored else mask)
        copies.append(original | {"path": path, "mask_path": mask_path, "patient": ""})
    return copies


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes a grey image [H, W] uint8 as PNG, or as JPEG for a .jpg path."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, 85] if path.suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 6]
    path.write_bytes(cv2.imencode(path.suffix, image, settings)[1].tobytes())
