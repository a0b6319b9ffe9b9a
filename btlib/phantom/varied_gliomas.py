"""Gliomas for training, of far more sizes, shapes, places and compositions than the demo's.

Every property has a usual range, about that of `gliomas`, and a widest one, drawn from what real cases of BraTS show:
lesions of 40 to 240 ml, two thirds of them oedema or infiltration, low-grade ones with specks of enhancement. `variety`
lies between the two.
"""

import numpy as np

from btlib.phantom.atlas import Atlas
from btlib.phantom.tumors import Tumor, balls, multifocal, pick, random_stretch, white_matter_sites

MULTIFOCAL = 0.15  # share with further lesions elsewhere
BUTTERFLY = 0.06  # share that cross the corpus callosum
CALLOSUM = ((28.0, 8.0), (-40.0, 14.0))  # (y, z) of its genu and splenium, mm
RINGED = {"HGG": 0.8, "LGG": 0.4}  # share with a core that differs from its wall
ENHANCING = {"HGG": 0.97, "LGG": 0.35}  # share with any enhancement
PATCHY = {"HGG": 0.15, "LGG": 1.0}  # of those, share that enhance in specks


def between(
    rng: np.random.Generator, variety: float, usual: tuple[float, float], widest: tuple[float, float], size=None
) -> np.ndarray:
    """Uniform draws from a range between the usual and the widest: at variety 0 the one, at 1 the other."""
    low, high = ((1 - variety) * np.array(usual) + variety * np.array(widest)).tolist()
    return rng.uniform(low, high, size)


def sample_varied_glioma(rng: np.random.Generator, grade: str, atlas: Atlas, variety: float) -> Tumor:
    """Draws a glioma of a grade ("LGG" or "HGG")."""
    sites = white_matter_sites(atlas)
    center = pick(rng, sites)
    radius = between(rng, variety, (11, 26), (7, 30))
    centers, radii = balls(rng, center, radius, int(rng.integers(0, 4 + round(3 * variety))))
    if rng.random() < BUTTERFLY * variety:
        centers, radii = _butterfly(rng, radius)
    elif rng.random() < MULTIFOCAL * variety:
        centers, radii = multifocal(rng, centers, radii, sites)
    ringed, enhancing = rng.random() < RINGED[grade], rng.random() < ENHANCING[grade]
    high = grade == "HGG"
    wall = between(rng, variety, (0.14, 0.4), (0.08, 0.6))
    return Tumor(
        kind="glioma",
        centers=centers,
        radii=radii,
        stretch=random_stretch(rng, 0.22 + 0.15 * variety),
        roughness=between(rng, variety, (0.1, 0.22), (0.08, 0.4)),
        edge=between(rng, variety, (1.5, 5), (1, 8)),
        rim=wall * radius if ringed else radius,
        core=between(rng, variety, (0.8, 1), (0.5, 1)),
        uptake=_uptake(rng, high, enhancing),
        patchiness=rng.uniform(1.5, 3.5) if rng.random() < PATCHY[grade] else rng.uniform(0.1, 0.7),
        edema=between(rng, variety, (6, 28), (3, 45)) if high else between(rng, variety, (3, 12), (3, 32)),
        push=between(rng, variety, (0.2, 0.85), (0.0, 0.95)),
        anchor=centers[0],
        tail=0.0,
        cleft=0.0,
        infiltration=between(rng, variety, (0.12, 0.12), (0.1, 0.95)),
    )


def _uptake(rng: np.random.Generator, high: bool, enhancing: bool) -> float:
    if not enhancing:
        return float(rng.uniform(0.0, 0.12))
    return float(rng.uniform(0.6, 1.2) if high else rng.uniform(0.25, 0.6))


def _butterfly(rng: np.random.Generator, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Centres [3, 3] and radii [3] of a lesion in both hemispheres, joined through the corpus callosum."""
    y, z = CALLOSUM[rng.integers(len(CALLOSUM))]
    sides = rng.uniform(14, 24, 2) * (1, -1)
    centers = np.array([(sides[0], y, z), (sides[1], y, z), (0.0, y, z)]) + rng.normal(0, 3, (3, 3))
    return centers, radius * np.array((rng.uniform(0.6, 0.9), rng.uniform(0.4, 0.9), rng.uniform(0.3, 0.5)))
