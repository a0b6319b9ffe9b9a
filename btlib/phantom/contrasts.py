"""Intensity of each tissue in each modality, relative to white matter = 100 on T1.

The values are typical of spin-echo images at 1.5–3 T, not of one scanner; `sample_table` varies them per subject. T1ce
is T1 after gadolinium: tissues without a blood-brain barrier (dura, veins, mucosa, pituitary, most tumours) enhance,
the rest do not.
"""

import numpy as np

from btlib.phantom.tissues import TISSUES

MODALITIES = ("t1", "t1ce", "t2", "flair")

#                 t1  t1ce   t2  flair
INTENSITY = {
    "air": (2, 2, 2, 2),
    "skin": (110, 130, 60, 70),
    "fat": (190, 190, 150, 135),
    "muscle": (72, 92, 45, 55),
    "mucosa": (85, 185, 190, 130),
    "bone": (20, 22, 12, 12),
    "marrow": (120, 140, 95, 80),
    "dura": (60, 150, 25, 40),
    "blood": (40, 200, 25, 30),
    "vitreous": (28, 28, 240, 30),
    "csf": (30, 31, 235, 28),
    "gm": (80, 84, 125, 118),
    "wm": (100, 100, 92, 92),
    "gland": (95, 190, 115, 105),
    "edema": (70, 71, 180, 190),
    "necrosis": (38, 40, 215, 95),
    "tumor": (66, 68, 165, 165),
    "enhancing": (74, 190, 150, 150),
}


def intensities(modality: str) -> np.ndarray:
    """Intensity of each tissue, [T] in the order of TISSUES."""
    column = MODALITIES.index(modality)
    return np.array([INTENSITY[name][column] for name in TISSUES], np.float32)


def sample_table(rng: np.random.Generator, modality: str) -> np.ndarray:
    """`intensities`, each varied by a few per cent, with varying contrast between grey and white matter."""
    table = intensities(modality) * rng.normal(1, 0.06, len(TISSUES)).astype(np.float32)
    gray, white = TISSUES.index("gm"), TISSUES.index("wm")
    table[gray] += rng.uniform(-0.15, 0.45) * (table[white] - table[gray])
    return table
