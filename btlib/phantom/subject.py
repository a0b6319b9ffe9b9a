"""One phantom subject: a deformed head with or without a tumour, which can be evaluated at any point.

It is independent of slices and modalities: tissue fractions on a grid of points form a volume, on a plane of points a
slice, and a contrast table turns either into an image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.phantom.atlas import LATTICE, Atlas
from btlib.phantom.brain import BrainShape, paint_brain, sample_brain
from btlib.phantom.gliomas import GRADES, sample_glioma
from btlib.phantom.head import HeadShape, paint_head, sample_head, skin_distance
from btlib.phantom.shapes import at_rows
from btlib.phantom.tissues import Mixture
from btlib.phantom.tumors import Tumor, paint_tumor, sample_site, sample_tumor
from btlib.phantom.warp import Warp, sample_warp

DrawTumor = Callable[[np.random.Generator, str, Atlas], Tumor | None]


@dataclass(frozen=True)
class Subject:
    """A head in its own millimetre space (axes as MNI152)."""

    label: str
    atlas: Atlas
    warp: Warp
    head: HeadShape
    brain: BrainShape
    tumor: Tumor | None
    focus: np.ndarray  # [3] the tumour's centre in the subject, or a potential site in a healthy one
    texture: np.ndarray  # [3] offset into the noise lattice

    def near(self, points: np.ndarray, margin: float) -> np.ndarray:
        """Whether points [N, 3] are in the head or within about `margin` mm of it."""
        where = self.warp.to_atlas(points)
        return skin_distance(where, self.atlas.envelope.at(where), self.head) < margin

    def tissues(self, points: np.ndarray) -> Mixture:
        """Tissue fractions at points [N, 3] in mm of the subject."""
        where = self.warp.to_atlas(points)
        depth = self.atlas.envelope.at(where)
        noise = partial(self.atlas.noise, offset=self.texture)
        mixture = Mixture(len(points))
        # Further inside, the brain would cover the head, so painting it would waste time.
        shell = np.flatnonzero(depth > -1)
        around = Mixture(len(shell))
        paint_head(around, at_rows(where, shell), depth[shell], self.head, noise)
        mixture.fractions[shell] = around.fractions
        sources = where if self.tumor is None else self.tumor.sources(where, depth)
        paint_brain(mixture, self.atlas, where, sources, depth, self.brain, noise)
        if self.tumor is not None:
            paint_tumor(mixture, self.tumor, where, depth, noise)
        return mixture


def sample_subject(seed: int, label: str, number: int, atlas: Atlas, draw: DrawTumor | None = None) -> Subject:
    """Draws subject `number` of a class; the same arguments always give the same subject.

    Args:
        label: one of `tumors.LABELS`, or of `gliomas.GRADES` for a glioma of that grade.
        draw: of the tumour; None: `sample_tumor` or `sample_glioma`.
    """
    rng = keyed_rng(seed, "phantom", label, number)
    warp = sample_warp(rng)
    tumor = (draw or (sample_glioma if label in GRADES else sample_tumor))(rng, label, atlas)
    focus = sample_site(rng, atlas) if tumor is None else tumor.center
    return Subject(
        label=label,
        atlas=atlas,
        warp=warp,
        head=sample_head(rng),
        brain=sample_brain(rng),
        tumor=tumor,
        focus=warp.from_atlas(focus[None])[0],
        texture=rng.uniform(0, LATTICE, 3),
    )
