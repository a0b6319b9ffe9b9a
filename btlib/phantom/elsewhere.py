"""A phantom data set of another hospital: slices of the same patients with and without tumour.

It differs from the main set in everything that may differ between hospitals: sequences, framing, blur, noise, shading,
window. These are drawn once per patient for all slices, and slices without tumour are at heights where other patients
have theirs. The two kinds therefore differ only by the tumour.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.reproducibility import keyed_rng, keyed_seed
from btlib.core.runtime.workers import in_parallel
from btlib.phantom.acquisition import bias_field, blur, coil, rician, window
from btlib.phantom.atlas import Atlas, load_atlas
from btlib.phantom.contrasts import MODALITIES, sample_table
from btlib.phantom.dataset import write_image
from btlib.phantom.slices import AXES, SMALLEST_LESION, Slice, plane_tissues
from btlib.phantom.subject import Subject, sample_subject
from btlib.phantom.tissues import INDEX, LESION, Mixture
from btlib.phantom.tumors import LESION_LABELS, lesion_labels, sample_tumor

COLUMNS = ("path", "patient", "mask_path")
KINDS = ("glioma", "meningioma", "pituitary")  # alternating
SLICES = 3  # per patient with tumour, and as many without
MODALITY_SHARES = (0.15, 0.30, 0.25, 0.30)  # of MODALITIES; in the main set 88 % are T1 post-contrast
FIELDS = {"wide": (270.0, 310.0), "padded": (215.0, 240.0), "tight": (168.0, 182.0)}  # mm; in the main set 178 to 275
PADDING = (0.07, 0.11)  # share of the width without data on either side of a padded image
BRAIN = [INDEX[name] for name in ("gm", "wm")]
GAP = 4.0  # mm between slices without tumour
MIN_BRAIN = 3000.0  # mm² of grey and white matter in a slice without tumour
DRAWN = 40  # random heights tried before regular ones
COARSE = 40  # pixels per side for the coarse check


@dataclass(frozen=True)
class Session:
    """Scan and display settings of one patient, for slices with and without tumour.

    Attributes:
        modality: one of MODALITIES.
        table: [tissues] intensities.
        axes: [3, 3] unit vectors in mm of the subject: image right, image down, and upwards along the stack.
        middle: [3] mm, approximate centre of the images.
        field: mm, side of the square image.
        padding: share of the width on either side without data.
        blur: mm, standard deviation of the point spread.
        shading: seed of the bias field, shared by all slices.
        shade: strength of the bias field.
        coil: fall-off towards the neck, as in `acquisition.coil`.
        noise: standard deviation, in the table's units.
        smooth: pixels, standard deviation of the viewer's interpolation.
        level, gamma: of the window, as in `acquisition.window`.
    """

    modality: str
    table: np.ndarray
    axes: np.ndarray
    middle: np.ndarray
    field: float
    padding: float
    blur: float
    shading: int
    shade: float
    coil: float
    noise: float
    smooth: float
    level: float
    gamma: float

    def height(self, point: np.ndarray) -> float:
        """Position of a point [3] along the stack, in mm."""
        return float(point @ self.axes[2])

    def points(self, height: float, size: int, shift: np.ndarray | None = None) -> np.ndarray:
        """Points [size × size, 3] of the slice at a height, in mm of the subject, row by row.

        Args:
            shift: [2] mm, motion of the head to the right and down.
        """
        right, down, up = self.axes
        x, y = np.zeros(2) if shift is None else shift
        corner = self.middle + up * (height - self.height(self.middle)) - x * right - y * down
        offsets = ((np.arange(size) + 0.5) / size - 0.5) * self.field
        grid = corner + offsets[:, None, None] * down + offsets[None, :, None] * right
        return grid.reshape(-1, 3).astype(np.float32)

    def frames(self, point: np.ndarray, reach: float) -> bool:
        """Whether the images, at any height, contain everything within `reach` mm of a point [3]."""
        aside = np.abs((point - self.middle) @ self.axes[:2].T) + reach
        return bool((aside < self.field * np.array([0.5 - self.padding, 0.5])).all())

    def shown(self, size: int) -> np.ndarray:
        """Which columns [size] contain data."""
        return np.abs((np.arange(size) + 0.5) / size - 0.5) < 0.5 - self.padding


@dataclass(frozen=True)
class Cut:
    """Content of a slice: its height and points as in `Session`, tissues, and tumour [S, S] bool."""

    height: float
    points: np.ndarray
    mixture: Mixture
    mask: np.ndarray


def write_elsewhere(
    folder: Path, seed: int, subjects: int, size: int, atlas: Atlas | None = None, workers: int | None = None
) -> pd.DataFrame:
    """Writes the data set to `folder` atomically; the bytes do not depend on `workers`.

    Slices with tumour go to `tumour/`, those without to `none/`, masks of the tumours to `masks/`, all as 8-bit PNG;
    `slices.csv` lists the slices with paths relative to `folder`. Slices are numbered from below within a patient's
    stack. Adding subjects does not change the first ones.

    Args:
        size: pixels per side.

    Returns:
        The table, with COLUMNS.
    """
    atlas = atlas or load_atlas()
    with atomic_path(folder) as temporary:
        for name in ("tumour", "none", "masks"):
            (temporary / name).mkdir(parents=True)
        make = partial(make_stack, seed, size=size, atlas=atlas)
        made = in_parallel(make, range(subjects), "phantoms elsewhere", "subject", batch=1, jobs=workers)
        rows = [
            _write_slice(temporary, f"elsewhere-{number:03d}", place, item)
            for number, stack in enumerate(made)
            for place, item in enumerate(stack)
        ]
        table = pd.DataFrame(rows, columns=COLUMNS)
        table.to_csv(temporary / "slices.csv", index=False)
    return table


def make_stack(seed: int, number: int, size: int, atlas: Atlas) -> list[Slice]:
    """The slices of one patient from below, SLICES of them with tumour and SLICES without any lesion."""
    subject = elsewhere_subject(seed, number, atlas)
    tries = (sample_session(keyed_rng(seed, "phantom elsewhere", "session", number, turn)) for turn in count())
    session = next(session for session in tries if session.frames(subject.focus, subject.tumor.radius))
    rng = keyed_rng(seed, "phantom elsewhere", "stack", number)
    cuts = _tumor_cuts(rng, subject, session, size) + _clear_cuts(rng, subject, session, size, number)
    return _scan(rng, session, sorted(cuts, key=lambda cut: cut.height))


def elsewhere_subject(seed: int, number: int, atlas: Atlas) -> Subject:
    """Patient `number`, drawn with a different seed from the main set."""
    return sample_subject(keyed_seed(seed, "phantom elsewhere"), KINDS[number % len(KINDS)], number, atlas)


def sample_session(rng: np.random.Generator) -> Session:
    """Draws the scan settings of a patient, independent of the tumour."""
    modality = str(rng.choice(MODALITIES, p=MODALITY_SHARES))
    framing = str(rng.choice(list(FIELDS)))
    # Stacks are usually tilted towards the orbitomeatal line.
    tilt = Rotation.from_euler("xyz", rng.normal((0.1, 0, 0), (0.08, 0.04, 0.04)))
    right, down, middle = (np.array(v, float) for v in AXES["axial"])
    return Session(
        modality=modality,
        table=sample_table(rng, modality),
        axes=tilt.apply(np.stack([right, down, np.cross(right, down)])),
        middle=middle + rng.normal(0, 5, 3),
        field=rng.uniform(*FIELDS[framing]),
        padding=rng.uniform(*PADDING) if framing == "padded" else 0.0,
        blur=rng.uniform(0.7, 1.2),
        shading=int(rng.integers(2**62)),
        shade=rng.uniform(0.1, 0.2),
        coil=rng.uniform(0.0, 1.0),
        noise=rng.uniform(6.0, 12.0),
        smooth=rng.uniform(0.5, 0.8),
        level=rng.uniform(210, 290),
        gamma=rng.uniform(0.65, 0.85),
    )


def _tumor_cuts(rng: np.random.Generator, subject: Subject, session: Session, size: int) -> list[Cut]:
    """Slices below, through and above the tumour's centre; closer to it if too little would be visible."""
    cuts = []
    for place in range(SLICES):
        offset = _offset(rng, subject.tumor.radius, place)
        shift = _shift(rng)
        for share in (1.0, 0.5, 0.0):
            cut = _cut(subject, session, session.height(subject.focus) + share * offset, shift, size)
            if cut.mask.mean() >= SMALLEST_LESION:
                break
        cuts.append(cut)
    return cuts


def _clear_cuts(rng: np.random.Generator, subject: Subject, session: Session, size: int, number: int) -> list[Cut]:
    """Slices of the brain without any part of the lesion, including oedema and dural tail."""
    cuts = []
    for height in _heights(rng, subject, session, number):
        shift = _shift(rng)
        if any(abs(height - other.height) < GAP for other in cuts) or not _may_be_clear(subject, session, height):
            continue
        cut = _cut(subject, session, height, shift, size)
        if not cut.mixture.fractions[:, LESION].any():
            cuts.append(cut)
        if len(cuts) == SLICES:
            return cuts
    raise RuntimeError(f"the lesion of {subject.label} {number} leaves too few slices without it")


def _heights(rng: np.random.Generator, subject: Subject, session: Session, number: int) -> Iterator[float]:
    """Heights in mm at which patients with the other two kinds of tumour are sliced; then regular heights.

    Slices with and without tumour thus have the same distribution of heights. Otherwise pituitary tumours could be
    recognised by the skull base in all their slices.
    """
    others = [kind for kind in KINDS if kind != subject.label]
    for turn in range(DRAWN):
        tumor = sample_tumor(rng, others[(number // len(KINDS) + turn) % len(others)], subject.atlas)
        site = subject.warp.from_atlas(tumor.center[None])[0]
        yield session.height(site) + _offset(rng, tumor.radius, turn % SLICES)
    yield from np.arange(-45.0, 65.0, GAP + 1)


def _offset(rng: np.random.Generator, radius: float, place: int) -> float:
    """Offset of a slice above the tumour's centre in mm; `place` 0 is below, 1 near the centre, 2 above."""
    return radius * (0.4 * (place - 1) + rng.uniform(-0.15, 0.15))


def _shift(rng: np.random.Generator) -> np.ndarray:
    """Motion of the head before a slice, [2] mm."""
    return rng.normal(0, 0.7, 2)


def _may_be_clear(subject: Subject, session: Session, height: float) -> bool:
    """Coarse check for enough brain and no lesion, which saves most full-resolution slices."""
    fractions = plane_tissues(subject, session.points(height, COARSE), COARSE).fractions
    brain = fractions[:, BRAIN].sum() * (session.field / COARSE) ** 2
    return brain >= MIN_BRAIN and not fractions[:, LESION].any()


def _cut(subject: Subject, session: Session, height: float, shift: np.ndarray, size: int) -> Cut:
    points = session.points(height, size, shift)
    mixture = plane_tissues(subject, points, size)
    tumor = np.isin(lesion_labels(mixture), (LESION_LABELS["necrotic_core"], LESION_LABELS["enhancing"]))
    return Cut(height, points, mixture, tumor.reshape(size, size) & session.shown(size))


def _scan(rng: np.random.Generator, session: Session, cuts: list[Cut]) -> list[Slice]:
    """The slices as displayed by a viewer, with one window for the whole stack."""
    shape = cuts[0].mask.shape
    shading = bias_field(np.random.default_rng(session.shading), shape, session.shade)
    scans = [_receive(rng, session, cut, shading) for cut in cuts]
    # A separate window per slice would be darker if a tumour is the brightest part.
    inside = [cut.mixture.fractions[:, INDEX["air"]].reshape(shape) < 0.5 for cut in cuts]
    brightest = np.percentile(np.concatenate([scan[head] for scan, head in zip(scans, inside, strict=True)]), 99.5)
    shown = session.shown(shape[1])
    return [
        Slice(window(scan, brightest, session.level, session.gamma) * shown, cut.mask, "axial", session.modality)
        for scan, cut in zip(scans, cuts, strict=True)
    ]


def _receive(rng: np.random.Generator, session: Session, cut: Cut, shading: np.ndarray) -> np.ndarray:
    """One slice [S, S] in the table's units, with blur, shading, slightly varying gain, and noise."""
    shape = cut.mask.shape
    ideal = cut.mixture.fractions @ session.table * coil(cut.points[:, 2], session.coil)
    seen = blur(ideal.reshape(shape), session.blur * shape[0] / session.field) * shading * rng.normal(1, 0.015)
    return blur(rician(rng, seen, session.noise), session.smooth)


def _write_slice(folder: Path, patient: str, place: int, item: Slice) -> dict[str, str]:
    name = f"{patient}_{place}.png"
    path, mask_path = f"none/{name}", ""
    if item.mask.any():
        path, mask_path = f"tumour/{name}", f"masks/{name}"
        write_image(folder / mask_path, item.mask.astype(np.uint8) * 255)
    write_image(folder / path, item.image)
    return {"path": path, "patient": patient, "mask_path": mask_path}
