"""Gliomas of a known grade, with typical and untypical appearance on MRI.

High grade: a necrotic core in an enhancing rim, extensive oedema, mass effect. Low grade: no enhancement, little
oedema, and often the T2-FLAIR mismatch: bright on T2, darker on FLAIR except for a rim. One in five of either grade
resembles the other. Sites and sizes have the same distribution for both.

Source: Louis et al., The 2021 WHO classification of tumors of the central nervous system; Patel et al., T2-FLAIR
mismatch, an imaging biomarker for IDH and 1p/19q status in diffuse gliomas, Clinical Cancer Research, 2017. The numbers
are our own.
"""

import numpy as np

from btlib.phantom.atlas import Atlas
from btlib.phantom.tumors import Tumor, balls, pick, random_stretch, white_matter_sites

GRADES = ("LGG", "HGG")
UNTYPICAL = 0.2  # share of each grade


def sample_glioma(rng: np.random.Generator, grade: str, atlas: Atlas) -> Tumor:
    """Draws a glioma of the given grade, one of GRADES."""
    center = pick(rng, white_matter_sites(atlas))
    radius = rng.uniform(11, 26)
    centers, radii = balls(rng, center, radius, int(rng.integers(0, 4)))
    untypical = rng.random() < UNTYPICAL
    look = _high_grade if grade == "HGG" else _low_grade
    return Tumor(
        kind="glioma",
        centers=centers,
        radii=radii,
        stretch=random_stretch(rng, 0.22),
        roughness=rng.uniform(0.1, 0.22),
        anchor=center,
        tail=0.0,
        cleft=0.0,
        **look(rng, radius, untypical),
    )


def _high_grade(rng: np.random.Generator, radius: float, untypical: bool) -> dict[str, float]:
    """Untypical: no necrosis, faint patches of enhancement or none, little oedema."""
    ring = rng.random() < 0.8 and not untypical
    return {
        "edge": rng.uniform(1.5, 5.0),
        "rim": rng.uniform(0.14, 0.4) * radius if ring else radius,
        "uptake": rng.uniform(0.0, 0.45) if untypical else rng.uniform(0.45, 0.95),
        "patchiness": rng.uniform(1.5, 3.5) if untypical else rng.uniform(0.2, 0.8),
        "edema": rng.uniform(4, 14) if untypical else rng.uniform(7, 28),
        "push": rng.uniform(0.3, 0.85),
    }


def _low_grade(rng: np.random.Generator, radius: float, untypical: bool) -> dict[str, float]:
    """Untypical: patches of enhancement and more oedema."""
    mismatch = rng.random() < 0.6
    return {
        "edge": rng.uniform(2.0, 6.0),
        "rim": rng.uniform(0.12, 0.3) * radius if mismatch else radius,
        "core": rng.uniform(0.5, 0.9),
        "uptake": rng.uniform(0.3, 0.7) if untypical else rng.uniform(0.0, 0.15),
        "patchiness": rng.uniform(1.5, 3.5),
        "edema": rng.uniform(6, 18) if untypical else rng.uniform(3, 10),
        "push": rng.uniform(0.15, 0.6),
    }
