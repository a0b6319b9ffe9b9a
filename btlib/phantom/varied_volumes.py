"""Phantom volumes to train on: gliomas, grey levels and scans varied as widely as their meaning allows.

A network that has seen only the demo's phantoms takes their regularities for the rules of the world: one grey level
for every oedema, lesions without texture. Here every case and modality draws its own, in the spirit of Billot et al.
2023 ("SynthSeg: Segmentation of brain MRI scans of any contrast and resolution without retraining"), but within what
the modality means: fluid is dark on T1, and on FLAIR where it does not flow; from T1 to T1ce only tissue without a
blood-brain barrier gains: enhancing tumour, vessels and meninges.
"""

from functools import partial

import numpy as np

from btlib.core.runtime.reproducibility import keyed_rng, keyed_seed
from btlib.phantom.atlas import Atlas
from btlib.phantom.contrasts import MODALITIES, intensities
from btlib.phantom.gliomas import GRADES
from btlib.phantom.scanners import IN_PLANE, Scanner
from btlib.phantom.subject import sample_subject
from btlib.phantom.tissues import INDEX, TISSUES
from btlib.phantom.tumors import CLEAR, Outlining
from btlib.phantom.varied_gliomas import between, sample_varied_glioma
from btlib.phantom.volumes import USUAL, Stripping, Volumes, scan

# Widest grey levels of lesions in T1, T1ce, T2 and FLAIR, in the units of `contrasts`. Those of real cases of BraTS
# lie within, measured relative to grey and white matter.
WIDEST = {
    "edema": ((58, 100), (58, 100), (115, 205), (108, 235)),
    "tumor": ((52, 95), (52, 95), (115, 205), (100, 235)),
    "necrosis": ((35, 90), (38, 100), (120, 265), (45, 240)),
    "enhancing": ((58, 100), (115, 215), (115, 205), (108, 265)),
}
# Of vessels and meninges: they enhance as well, and are no lesion.
WIDEST_AROUND = {
    "blood": ((20, 90), (120, 270), (10, 130), (15, 250)),
    "dura": ((35, 90), (90, 230), (10, 110), (25, 240)),
}
FLOW = 160.0  # most that moving fluid gains on FLAIR
FLOWING = 0.6  # share of the scans where it does
USUAL_SPREAD = 0.06  # of the grey levels, relative
SAME_ON_T1CE = ("edema", "tumor", "necrosis")  # without enhancement
FAINT = Outlining(edema=0.35, enhancing=0.3)  # real oedema is outlined up to its faintest edge, faint enhancement too
BLOODY = 0.1  # share with haemorrhage: a bright core on T1
BLOOD_T1 = (105, 160)
LEFTOVERS = 0.25  # share with remains of skull and scalp
OTHER_PLANE = 0.3  # share of the modalities that were not acquired in axial slices


def training_volumes(seed: int, number: int, spacing: float, variety: float, atlas: Atlas) -> Volumes:
    """Case `number` of those to train on, the grades in turn; none is in a study, whatever its seed.

    Args: see `varied_volumes`.
    """
    return varied_volumes(keyed_seed(seed, "training volumes"), training_grade(number), number, spacing, variety, atlas)


def training_grade(number: int) -> str:
    return GRADES[number % len(GRADES)]


def varied_volumes(seed: int, grade: str, number: int, spacing: float, variety: float, atlas: Atlas) -> Volumes:
    """Draws patient `number` with a glioma of the given grade, and the scans.

    Args:
        spacing: of the voxels, mm.
        variety: 0 (about as `make_volumes`) to 1 (the widest).
    """
    subject = sample_subject(seed, grade, number, atlas, partial(sample_varied_glioma, variety=variety))
    rng = keyed_rng(seed, "varied scan", number)
    return scan(rng, subject, _scanner(rng, variety), spacing, _stripping(rng, variety), _outlining(variety))


def _scanner(rng: np.random.Generator, variety: float) -> Scanner:
    count = len(MODALITIES)
    shift = rng.normal(0, 0.6 * variety, (count, 3))
    shift[MODALITIES.index("t1ce")] = 0  # the others are registered to it
    return Scanner(
        tables=_tables(rng, variety),
        blur=_blur(rng, variety),
        shading=between(rng, variety, (0.02, 0.1), (0.02, 0.2)),
        noise=between(rng, variety, (1.5, 5), (0.5, 5)),
        gain=np.exp(rng.uniform(0.4, 2.4, count)),
        flow=FLOW * variety * rng.random() * (rng.random() < FLOWING),
        gamma=np.exp(rng.normal(0, 0.2 * variety, count)),
        shift=shift,
        grain=tuple((between(rng, variety, (0.05, 0.12), (0.0, 0.25)), size) for size in (20.0, 8.0, 4.0)),
    )


def _tables(rng: np.random.Generator, variety: float) -> np.ndarray:
    """Intensity of each tissue in each modality [M, T]."""
    spread = USUAL_SPREAD + 0.07 * variety
    shared = rng.normal(0, 1, len(TISSUES))  # T1 and T1ce are one sequence, before and after gadolinium
    widest = WIDEST | WIDEST_AROUND
    bright = rng.random(len(widest))
    tables = []
    for number, modality in enumerate(MODALITIES):
        sequence = modality.startswith("t1")
        table = intensities(modality)
        gray, white = table[[INDEX["gm"], INDEX["wm"]]]
        table *= np.exp(spread * (shared if sequence else rng.normal(0, 1, len(TISSUES)))).astype(np.float32)
        contrast = between(rng, variety, (0.85, 1.45), (0.4, 1.7))
        table[INDEX["gm"]] = table[INDEX["wm"]] * (1 + contrast * (gray / white - 1))
        wide = {}
        for place, (tissue, ranges) in enumerate(widest.items()):
            low, high = ranges[number]
            share = bright[place] if sequence and tissue in SAME_ON_T1CE else rng.random()
            wide[tissue] = (low + share * (high - low)) * table[INDEX["wm"]] / white
        for tissue, level in _in_order(wide, modality).items():
            table[INDEX[tissue]] += variety * (level - table[INDEX[tissue]])
        tables.append(table)
    if rng.random() < BLOODY * variety:
        tables[0][INDEX["necrosis"]] = tables[1][INDEX["necrosis"]] = rng.uniform(*BLOOD_T1)
    return np.stack(tables)


def _in_order(levels: dict[str, float], modality: str) -> dict[str, float]:
    """The levels with those of oedema and bulk exchanged where the oedema would hold more water than the bulk.

    In each of nine real cases of BraTS, the core is darker than the oedema on T1, and at least as bright on T2.
    """
    darker, brighter = sorted((levels["edema"], levels["tumor"]))
    if modality == "flair":
        return levels  # which shows proteins and cells as much as water
    if modality == "t2":
        return levels | {"edema": darker, "tumor": brighter}
    return levels | {"edema": brighter, "tumor": darker}


def _outlining(variety: float) -> Outlining:
    return Outlining(*(clear + variety * (faint - clear) for clear, faint in zip(CLEAR, FAINT, strict=True)))


def _blur(rng: np.random.Generator, variety: float) -> np.ndarray:
    """Standard deviation [M, 3] in mm along each axis: thick slices, mostly axial."""
    blur = between(rng, variety, (IN_PLANE, IN_PLANE), (0.3, 1.2), (len(MODALITIES), 3))
    for row in blur:
        axis = rng.integers(3) if rng.random() < OTHER_PLANE * variety else 2
        row[axis] = between(rng, variety, (0.4, 2.0), (0.3, 3.2))
    return blur


def _stripping(rng: np.random.Generator, variety: float) -> Stripping:
    return Stripping(
        margin=between(rng, variety, (USUAL.margin, USUAL.margin), (-0.5, 4.0)),
        wobble=between(rng, variety, (USUAL.wobble, USUAL.wobble), (0.5, 3.5)),
        leftovers=rng.random() < LEFTOVERS * variety,
    )
