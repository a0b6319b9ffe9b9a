"""A packaged joint network on cases from elsewhere: masks, volumes and grades against their truth.

Reads any layout that the pipeline reads, from a folder whose cases are segmented; unknown grades are left out. Nothing
is trained or chosen here.

Run: python -m benchmarks.volumes_elsewhere models/deploy/joint <folder with cases> [--json scores.json]
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from nibabel.affines import voxel_sizes
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from btlib.app.models.packed_joint import load_packed
from btlib.app.predict.cases import normalized
from btlib.app.scans.scans import Scans
from btlib.core.runtime.artifacts import write_json
from btlib.volumes.data.conventions import regions_of
from btlib.volumes.data.ingest import ingest
from btlib.volumes.data.reading import read_case
from btlib.volumes.evaluation.agreement import volume_agreement
from btlib.volumes.evaluation.cohort import Cohort, estimates, intervals
from btlib.volumes.evaluation.masks import PLAIN, native_labels
from btlib.volumes.evaluation.scores import HGG, outline_scores
from btlib.volumes.evaluation.segmentation import Outlined, segmentation_table
from btlib.volumes.evaluation.tables import DICE
from btlib.volumes.nets.inference import predict_case

RESAMPLES = 2000


def predicted(model: Path, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The segmentation table of the cases (`segmentation_table`), and `case, patient, grade, p_HGG` of each."""
    net, window, _, card = load_packed(model)
    manifest, _ = ingest(root, resample=False)
    grades = []

    def compared():
        for _, row in tqdm(list(manifest.iterrows()), desc="cases"):
            images, seg, affine, header = read_case(root, row, resample=False)
            case = normalized(Scans(row["case"], images, affine, (), {}, header), card.preprocessing)
            found = predict_case(net, case, window)
            grades.append((case.name, row["patient"], row["grade"], np.nan if found.grade is None else found.grade[1]))
            masks = [regions_of(native_labels(found.regions, case, rules)) for rules in (card.postprocessing, PLAIN)]
            yield Outlined(case.name, regions_of(seg), *masks, voxel_sizes(affine))

    outlines = segmentation_table(compared())
    return outlines, pd.DataFrame(grades, columns=["case", "patient", "grade", "p_HGG"])


def scores(outlines: pd.DataFrame, cases: pd.DataFrame) -> dict:
    """Scores over the cases, with intervals over patients."""
    columns = (cases[name].to_numpy(dtype=object) for name in ("case", "patient", "grade"))
    cohort = Cohort(*columns, np.ones(len(cases), bool))
    weights = cohort.weights(RESAMPLES, np.random.default_rng(0))
    drawn = outline_scores(outlines, cohort.cases, weights)
    raw = outline_scores(outlines.assign(dice=outlines["dice_raw"]), cohort.cases, weights)
    drawn |= {f"{name}_raw": raw[name] for name in DICE}
    known = cases[cohort.graded & cases["p_HGG"].notna()]
    high = (known["grade"] == HGG).to_numpy()
    both = high.any() and not high.all()
    return {
        "cases": len(cases),
        **estimates(drawn),
        "ci95": intervals(drawn),
        "volumes": volume_agreement(outlines, cohort, weights),
        "grade": {
            "right": int(((known["p_HGG"] > 0.5) == high).sum()),
            "of": len(known),
            "auc": float(roc_auc_score(high, known["p_HGG"])) if both else None,
        },
    }


def main(model: Path, root: Path, out: Path | None) -> None:
    outlines, cases = predicted(model, root)
    wide = outlines.pivot(index="case", columns="region", values=["dice", "hd95", "truth_ml", "predicted_ml"]).round(3)
    print(wide.to_string(), cases.round(3).to_string(index=False), sep="\n\n")
    found = scores(outlines, cases)
    for name, ends in found["ci95"].items():
        print(f"{name} {found[name]:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]")
    for region, part in found["volumes"].items():
        print(f"{region}: median error of the volume {part['median_error']:.1%}, bias {part['bias_ml']:.1f} ml")
    print(f"grade: {found['grade']}")
    if out:
        write_json(out, found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    main(args.model, args.root, args.json)
