"""A phantom collection of another hospital: the same persons' slices with and without their tumour.

Everything that may differ between two hospitals does: sequences, framing, blur, noise, shading, window. All of it is
drawn once for a person and serves every slice, and slices without tumour lie where other persons have theirs. So what
tells the two kinds apart is the tumour, and nothing around it.
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
from btlib.phantom.tissues import INDEX, Mixture
from btlib.phantom.tumors import LESION_LABELS, lesion_labels, sample_tumor

COLUMNS = ("path", "patient", "mask_path")
KINDS = ("glioma", "meningioma", "pituitary")  # in turn
SLICES = 3  # of each person with the tumour, and as many without
MODALITY_SHARES = (0.15, 0.30, 0.25, 0.30)  # of MODALITIES; at home 88 % are T1 post-contrast
FIELDS = {"wide": (270.0, 310.0), "padded": (215.0, 240.0), "tight": (168.0, 182.0)}  # mm; at home 178 to 275
PADDING = (0.07, 0.11)  # share of the width on either side that holds no data in a padded image
LESION = [INDEX[name] for name in ("edema", "necrosis", "tumor", "enhancing")]
BRAIN = [INDEX[name] for name in ("gm", "wm")]
GAP = 4.0  # mm between slices without the tumour
LEAST_BRAIN = 3000.0  # mm² of grey and white matter in a slice without the tumour
DRAWN = 40  # heights that are tried before the regular ones
LOOK = 40  # pixels per side of a first look


@dataclass(frozen=True)
class Session:
    """How one person is scanned and shown, whether a slice has the tumour or not.

    Attributes:
        modality: one of MODALITIES.
        table: [tissues] their intensities.
        axes: [3, 3] unit vectors in mm of the subject: image right, image down, and along the stack, upwards.
        middle: [3] mm, what the images are centred on, more or less.
        field: mm, side of the square image.
        padding: share of the width on either side without data.
        blur: mm, deviation of the point spread.
        shading: seed of the bias field, which is the coil's and not the slice's.
        shade: its strength.
        coil: fall-off towards the neck, as in `acquisition.coil`.
        noise: deviation, in the table's units.
        smooth: pixels, deviation of the viewer's interpolation.
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
        """Where along the stack a point [3] lies, in mm."""
        return float(point @ self.axes[2])

    def points(self, height: float, size: int, shift: np.ndarray | None = None) -> np.ndarray:
        """Points [size × size, 3] in mm of the subject of the slice at a height, row by row.

        Args:
            shift: [2] mm by which the head moved right and down.
        """
        right, down, up = self.axes
        x, y = np.zeros(2) if shift is None else shift
        corner = self.middle + up * (height - self.height(self.middle)) - x * right - y * down
        offsets = ((np.arange(size) + 0.5) / size - 0.5) * self.field
        grid = corner + offsets[:, None, None] * down + offsets[None, :, None] * right
        return grid.reshape(-1, 3).astype(np.float32)

    def frames(self, point: np.ndarray, reach: float) -> bool:
        """Whether the images show what lies within `reach` mm of a point [3], at whatever height."""
        aside = np.abs((point - self.middle) @ self.axes[:2].T) + reach
        return bool((aside < self.field * np.array([0.5 - self.padding, 0.5])).all())

    def shown(self, size: int) -> np.ndarray:
        """Which columns [size] hold data."""
        return np.abs((np.arange(size) + 0.5) / size - 0.5) < 0.5 - self.padding


@dataclass(frozen=True)
class Cut:
    """What a slice goes through: its height and points as in `Session`, the tissues there, the tumour [S, S] bool."""

    height: float
    points: np.ndarray
    mixture: Mixture
    mask: np.ndarray


def write_elsewhere(
    folder: Path, seed: int, subjects: int, size: int, atlas: Atlas | None = None, workers: int | None = None
) -> pd.DataFrame:
    """Makes the whole set in `folder`, or leaves it as it was; the bytes do not depend on `workers`.

    Slices with the tumour go to `tumour/`, those without to `none/`, masks of the tumours to `masks/`, all as 8-bit
    PNG; `slices.csv` lists the slices with paths relative to `folder`. A slice is numbered by its place in the
    person's stack, from below. More subjects leave the first ones as they were.

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
    """The slices of one person from below, SLICES of them with the tumour and SLICES without any of the lesion."""
    subject = elsewhere_subject(seed, number, atlas)
    tries = (sample_session(keyed_rng(seed, "phantom elsewhere", "session", number, turn)) for turn in count())
    session = next(session for session in tries if session.frames(subject.focus, subject.tumor.radius))
    rng = keyed_rng(seed, "phantom elsewhere", "stack", number)
    cuts = _tumor_cuts(rng, subject, session, size) + _clear_cuts(rng, subject, session, size, number)
    return _scan(rng, session, sorted(cuts, key=lambda cut: cut.height))


def elsewhere_subject(seed: int, number: int, atlas: Atlas) -> Subject:
    """Person `number`; a seed of their own makes them others than the home hospital's."""
    return sample_subject(keyed_seed(seed, "phantom elsewhere"), KINDS[number % len(KINDS)], number, atlas)


def sample_session(rng: np.random.Generator) -> Session:
    """Draws how a person is scanned; what they have plays no part."""
    modality = str(rng.choice(MODALITIES, p=MODALITY_SHARES))
    framing = str(rng.choice(list(FIELDS)))
    # Technicians tilt the stack towards the line from the eye to the ear.
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
    """Slices below, through and above the middle of the tumour; nearer to it where too little would show."""
    cuts = []
    for place in range(SLICES):
        miss = _miss(rng, subject.tumor.radius, place)
        shift = _shift(rng)
        for share in (1.0, 0.5, 0.0):
            cut = _cut(subject, session, session.height(subject.focus) + share * miss, shift, size)
            if cut.mask.mean() >= SMALLEST_LESION:
                break
        cuts.append(cut)
    return cuts


def _clear_cuts(rng: np.random.Generator, subject: Subject, session: Session, size: int, number: int) -> list[Cut]:
    """Slices of the brain in which nothing of the lesion lies, oedema and dural tail included."""
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
    """Heights in mm where persons with the other two kinds of tumour are sliced; then all of the brain's.

    Over the collection the slices with and without tumour thus lie equally high. Pituitary tumours would otherwise be
    known by the skull base, which is in all their slices.
    """
    others = [kind for kind in KINDS if kind != subject.label]
    for turn in range(DRAWN):
        tumor = sample_tumor(rng, others[(number // len(KINDS) + turn) % len(others)], subject.atlas)
        site = subject.warp.from_atlas(tumor.center[None])[0]
        yield session.height(site) + _miss(rng, tumor.radius, turn % SLICES)
    yield from np.arange(-45.0, 65.0, GAP + 1)


def _miss(rng: np.random.Generator, radius: float, place: int) -> float:
    """How many mm a slice passes above a tumour's middle; `place` 0 is below, 1 about there, 2 above."""
    return radius * (0.4 * (place - 1) + rng.uniform(-0.15, 0.15))


def _shift(rng: np.random.Generator) -> np.ndarray:
    """How far the head moved before a slice, [2] mm."""
    return rng.normal(0, 0.7, 2)


def _may_be_clear(subject: Subject, session: Session, height: float) -> bool:
    """Whether a coarse look finds enough brain and no lesion, which spares most of the full ones."""
    fractions = plane_tissues(subject, session.points(height, LOOK), LOOK).fractions
    brain = fractions[:, BRAIN].sum() * (session.field / LOOK) ** 2
    return brain >= LEAST_BRAIN and not fractions[:, LESION].any()


def _cut(subject: Subject, session: Session, height: float, shift: np.ndarray, size: int) -> Cut:
    points = session.points(height, size, shift)
    mixture = plane_tissues(subject, points, size)
    tumor = np.isin(lesion_labels(mixture), (LESION_LABELS["necrotic_core"], LESION_LABELS["enhancing"]))
    return Cut(height, points, mixture, tumor.reshape(size, size) & session.shown(size))


def _scan(rng: np.random.Generator, session: Session, cuts: list[Cut]) -> list[Slice]:
    """The slices as a viewer shows them, with one window for the whole stack."""
    shape = cuts[0].mask.shape
    shading = bias_field(np.random.default_rng(session.shading), shape, session.shade)
    scans = [_receive(rng, session, cut, shading) for cut in cuts]
    # A window of each slice's own would be darker where a tumour is the brightest.
    inside = [cut.mixture.fractions[:, INDEX["air"]].reshape(shape) < 0.5 for cut in cuts]
    brightest = np.percentile(np.concatenate([scan[head] for scan, head in zip(scans, inside, strict=True)]), 99.5)
    shown = session.shown(shape[1])
    return [
        Slice(window(scan, brightest, session.level, session.gamma) * shown, cut.mask, "axial", session.modality)
        for scan, cut in zip(scans, cuts, strict=True)
    ]


def _receive(rng: np.random.Generator, session: Session, cut: Cut, shading: np.ndarray) -> np.ndarray:
    """One slice [S, S] in the table's units: blur, shading, a gain a little off, and noise."""
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
