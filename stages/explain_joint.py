"""Stage explain_joint: where the joint network looks for the grade, what it attends to and where it is unsure.

Reads models/joint/, data/volumes/normalized/, data/joint/predictions/. Writes metrics/explain_joint.json: how much of
the grade's heat is tumour, over all test cases. Of the chosen cases it writes data/figures/joint/explain/ (the outputs
of the 3D paper's Figure 1 side by side) and data/joint/maps/<case>/ (NIfTI on the input grid).
Run: dvc repro explain_joint.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from btlib.core.explain.gradcam import map_names
from btlib.core.metrics.localisation import localisation_scores
from btlib.core.runtime.artifacts import write_figure, write_json
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.report.figures.volume_maps import SHADES, explanation_figure
from btlib.report.figures.wording import titled
from btlib.volumes.data.conventions import GRADES, REGION_NAMES
from btlib.volumes.data.store import Case, load_case, to_native, write_nifti
from btlib.volumes.evaluation.tables import read_joint_tables
from btlib.volumes.explain.maps import Explanation, cases_to_explain, grade_heat, heat_in_brain
from btlib.volumes.explain.sampling import binary_uncertainty
from btlib.volumes.nets.inference import mc_samples, native_labels, predict_case
from btlib.volumes.nets.network import JointNet
from btlib.volumes.nets.store import load_joint
from btlib.volumes.nets.windows import Window


def main(model: Path, normalized: Path, predictions: Path, maps: Path, metrics: Path, figures: Path) -> None:
    p = load_params("seed", "volumes.source", "joint.mc_samples", "joint.explained_cases", "evaluation.bootstrap")
    note = data_note(p.volumes.source)
    net, window = load_joint(model)
    tables = read_joint_tables(predictions)
    dice = tables.segmentation.pivot(index="case", columns="region", values="dice")
    chosen = cases_to_explain(tables.test, p.joint.explained_cases, p.seed, "explained cases")
    kinds = map_names(net) if net.architecture.grading != "none" else ()

    heat = []
    for row in tqdm(tables.test.itertuples(), desc="explain", total=len(tables.test), unit="case"):
        case = load_case(normalized, row.case)
        heats = grade_heat(net, case.image, window, int(row.p_HGG > row.p_LGG)) if kinds else {}
        heat.append(heat_in_brain(case, row.grade or "ungraded", heats))
        if row.case in chosen:
            found = explanation(net, window, case, heats.get(kinds[-1]) if kinds else None, p.joint.mc_samples, p.seed)
            write_maps(maps / case.name, found, case)
            title = titled(grade_wording(row), note) + dice_wording(dice, row.case)
            write_figure(figures / f"{case.name}.png", explanation_figure(title, case, found))

    table = pd.concat(heat)
    table["group"] = table["image_id"].map(tables.test.set_index("case")["patient"])
    rng = keyed_rng(p.seed, "explain_joint bootstrap")
    scores = localisation_scores(table, list(kinds), p.evaluation.bootstrap, rng)
    write_json(metrics, {"n_test": len(tables.test), "n_explained": len(chosen), "maps": scores})


def explanation(
    net: JointNet, window: Window, case: Case, heat: np.ndarray | None, samples: int, seed: int
) -> Explanation:
    """All maps of one case; the samples' uncertainty needs dropout and segmentation."""
    predicted = predict_case(net, case, window)
    if predicted.regions is None or net.architecture.dropout == 0:
        return Explanation(predicted.regions, predicted.attention, heat, None, None)
    tumour = np.stack([sample.regions[0] for sample in mc_samples(net, case, window, samples, seed)])
    return Explanation(predicted.regions, predicted.attention, heat, *binary_uncertainty(tumour))


def write_maps(folder: Path, found: Explanation, case: Case) -> None:
    """NIfTI on the input grid: one file per map that there is, and the predicted segmentation."""
    for name in SHADES:
        values = getattr(found, name)
        if values is not None:
            write_nifti(folder / f"{name}.nii.gz", to_native(values[None], case)[0], case)
    if found.regions is not None:
        write_nifti(folder / "segmentation.nii.gz", native_labels(found.regions, case), case)


def grade_wording(row: Any) -> str:
    """'BraTS20_Training_007: true grade HGG, predicted ✓ HGG 97.3%' of a row of the predictions table."""
    true = f"true grade {row.grade}" if row.grade else "grade unknown"
    if np.isnan(row.p_HGG):
        return f"{row.case}: {true}, not graded by this network"
    said = GRADES[int(row.p_HGG > row.p_LGG)]
    sign = {"": "", said: "✓ "}.get(row.grade, "✗ ")
    return f"{row.case}: {true}, predicted {sign}{said} {max(row.p_HGG, row.p_LGG):.1%}"


def dice_wording(dice: pd.DataFrame, name: str) -> str:
    """The next line, 'Dice: whole tumour 0.91, …', from a table [case × region]; '' for a case without a score."""
    if name not in dice.index:
        return ""
    return "\nDice: " + ", ".join(f"{spoken} {dice.loc[name, region]:.2f}" for region, spoken in REGION_NAMES.items())


if __name__ == "__main__":
    run(main)
