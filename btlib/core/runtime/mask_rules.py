"""How masks are made from region probabilities, as params.yaml may state it and every model card holds it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Milliliters = Annotated[float, Field(ge=0)]


class _Rules(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class RegionRule(_Rules):
    """One region's mask.

    Attributes:
        threshold: a voxel belongs to the region if its probability is above.
        smallest_component_ml: smaller connected components are removed, but never the largest.
        smallest_region_ml: a smaller region is absent: all of it is removed.
    """

    threshold: Share = 0.5
    smallest_component_ml: Milliliters = 0.0
    smallest_region_ml: Milliliters = 0.0


class Postprocessing(_Rules):
    """The rules of the three regions, then of whole lesions; without arguments one half, and nothing is removed.

    Attributes:
        smallest_lesion: connected components of the whole tumour smaller than this share of the largest are removed
            from all regions.
    """

    wt: RegionRule = RegionRule()
    tc: RegionRule = RegionRule()
    et: RegionRule = RegionRule()
    smallest_lesion: Share = 0.0
