"""Explanations of the joint network's grade on a whole volume, and their overlap with the tumour."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor

from btlib.core.explain.faithfulness import faithfulness_table
from btlib.core.explain.gradcam import Explainable, map_names, normalized, raw_maps, resized
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.workers import best_device
from btlib.volumes.data.conventions import regions_of
from btlib.volumes.data.store import Case, to_native, write_nifti
from btlib.volumes.nets.windows import OVERLAP, Window, shrunk


class Explanation(NamedTuple):
    """Maps of one case on its normalised grid; None if the network lacks the head.

    masks: bool [3, X, Y, Z] of whole tumour, core and enhancing tumour; attention: coefficients [X, Y, Z] of the finest
    gate; gradcam: heat [X, Y, Z] of the predicted grade, 0 … 1; entropy and mutual_information: of the whole
    tumour under dropout, [X, Y, Z] in nats.
    """

    masks: np.ndarray | None
    attention: np.ndarray | None
    gradcam: np.ndarray | None
    entropy: np.ndarray | None
    mutual_information: np.ndarray | None


def write_maps(folder: Path, found: Explanation, labels: np.ndarray | None, case: Case) -> None:
    """Writes each available map and the predicted segmentation as NIfTI on the input grid.

    Args:
        labels: predicted, on that grid; None if the network does not segment.
    """
    if labels is not None:
        write_nifti(folder / "segmentation.nii.gz", labels, case)
    for name, values in found._asdict().items():
        if name != "masks" and values is not None:
            write_nifti(folder / f"{name}.nii.gz", to_native(values[None], case)[0], case)


def grade_heat(net: Explainable, image: np.ndarray, window: Window, grade: int) -> dict[str, np.ndarray]:
    """3D Grad-CAM of a grade on the grid of the image, using the same windows as prediction.

    If the brain needs several windows, each window's maps explain its own grade and are averaged with the weights of
    the logits.

    Args:
        net: in eval mode; moved to the GPU if there is one.
        image: [4, X, Y, Z] of a normalised case.
        grade: index in GRADES.

    Returns:
        Encoder, and with grading 'regions' decoder and fused -> float32 [X, Y, Z] in 0 … 1, with maximum 1 unless the
        map is all zero.
    """
    device = best_device()
    net.to(device)
    names = map_names(net)

    def maps(cubes: Tensor) -> Tensor:
        found = raw_maps(net, shrunk(cubes, window.size), torch.full((len(cubes),), grade, device=device))
        every = (*found.backbones, found.fused)[: len(names)]
        return torch.stack([resized(one, cubes.shape[2:]) for one in every], dim=1)

    volume, roi_size = torch.from_numpy(image).to(device).float()[None], (window.roi_size,) * 3
    heat = normalized(sliding_window_inference(volume, roi_size, 1, maps, overlap=OVERLAP, mode="gaussian")[0])
    return dict(zip(names, heat.cpu().numpy(), strict=True))


def brain_of(image: np.ndarray) -> np.ndarray:
    """Brain mask, bool [X, Y, Z], of a normalised image [4, X, Y, Z], which is 0 outside."""
    return (image != 0).any(axis=0)


def heat_in_brain(case: Case, grade: str, heats: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The rows of `faithfulness_table` for one case, restricted to the brain; none if no tumour is known.

    The baseline of a uniform map is then the tumour's share of the brain. This is stricter than its smaller share of
    the whole grid, which any map confined to the brain would exceed.

    Args:
        grade: the true one, or 'ungraded'.
        heats: from `grade_heat`.
    """
    brain = brain_of(case.image)
    lesion = np.zeros((1, brain.sum()), bool) if case.seg is None else regions_of(case.seg)[:1, brain]
    if not lesion.any():
        return faithfulness_table([], [], {}, lesion)
    return faithfulness_table([case.name], [grade], {kind: heat[None, brain] for kind, heat in heats.items()}, lesion)


def cases_to_explain(predictions: pd.DataFrame, count: int, *key: object) -> list[str]:
    """Cases drawn by key: alternating between high and low grade, and within each between correct and wrong.

    If a grade has too few cases, the other one fills up; cases of unknown grade come last. A network without grading is
    never correct.

    Args:
        predictions: case, grade ('' if unknown), p_LGG, p_HGG; one row per case.
        count: maximum number.

    Returns:
        Names, sorted.
    """
    drawn = predictions.iloc[keyed_rng(*key).permutation(len(predictions))]
    right = np.where(drawn["p_HGG"] > drawn["p_LGG"], "HGG", "LGG") == drawn["grade"]
    drawn = drawn.assign(right=right & drawn["p_HGG"].notna())
    drawn["turn"] = drawn.groupby(["grade", "right"]).cumcount()
    drawn = drawn.sort_values(["turn", "right"], ascending=[True, False], kind="stable")
    drawn = drawn.assign(place=drawn.groupby("grade").cumcount(), unknown=drawn["grade"] == "")
    return sorted(drawn.sort_values(["unknown", "place", "grade"], kind="stable")["case"].iloc[:count])
