"""A packaged joint network on cases from elsewhere: masks, volumes and grades against their truth.

Reads any layout that the pipeline reads, from a folder whose cases are segmented; unknown grades are left out. Nothing
is trained or chosen here.

Run: python -m benchmarks.volumes_elsewhere models/deploy/joint <folder with cases> [--json scores.json]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from nibabel.affines import voxel_sizes
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from btlib.app.models.packed_joint import load_packed
from btlib.app.predict.cases import normalized
from btlib.app.scans.scans import Scans
from btlib.core.runtime.artifacts import write_json
from btlib.volumes.data.conventions import REGIONS, regions_of
from btlib.volumes.data.ingest import ingest
from btlib.volumes.data.reading import read_case
from btlib.volumes.evaluation.masks import PLAIN, native_labels
from btlib.volumes.evaluation.segmentation import Outlined, segmentation_table
from btlib.volumes.nets.inference import predict_case

RESAMPLES = 2000


def predicted(model: Path, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The segmentation table of the cases (`segmentation_table`), and `case, grade, p_HGG` of each."""
    net, window, _, card = load_packed(model)
    manifest, _ = ingest(root, resample=False)
    grades = []

    def compared():
        for _, row in tqdm(list(manifest.iterrows()), desc="cases"):
            images, seg, affine, header = read_case(root, row, resample=False)
            case = normalized(Scans(row["case"], images, affine, (), {}, header), card.preprocessing)
            found = predict_case(net, case, window)
            grades.append((case.name, row["grade"], np.nan if found.grade is None else found.grade[1]))
            masks = [regions_of(native_labels(found.regions, case, rules)) for rules in (card.postprocessing, PLAIN)]
            yield Outlined(case.name, regions_of(seg), *masks, voxel_sizes(affine))

    outlines = segmentation_table(compared())
    return outlines, pd.DataFrame(grades, columns=["case", "grade", "p_HGG"])


def interval(values: np.ndarray, statistic: Callable = np.mean) -> dict[str, float | list[float]]:
    """The statistic of the cases with its 95 % bootstrap interval."""
    drawn = bootstrap((values,), statistic, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(0))
    return {"value": float(statistic(values)), "ci95": [float(end) for end in drawn.confidence_interval]}


def scores(outlines: pd.DataFrame, grades: pd.DataFrame) -> dict:
    """Scores over the cases; of the volumes, Bland and Altman's bias and limits of agreement in ml."""
    found = {}
    for region in REGIONS:
        rows = outlines[outlines["region"] == region]
        error = (rows["predicted_ml"] - rows["truth_ml"]).to_numpy()
        share = np.abs(error) / rows["truth_ml"].to_numpy()
        found[region] = {
            "dice": interval(rows["dice"].to_numpy()),
            "dice_raw": interval(rows["dice_raw"].to_numpy()),
            "hd95_mm": interval(rows["hd95"].to_numpy()),
            "volume_error": interval(share[np.isfinite(share)], np.median),
            "volume_bias_ml": float(error.mean()),
            "volume_limits_ml": [float(error.mean() + sign * 1.96 * error.std(ddof=1)) for sign in (-1, 1)],
        }
    known = grades[(grades["grade"] != "") & grades["p_HGG"].notna()]
    high = (known["grade"] == "HGG").to_numpy()
    both = high.any() and not high.all()
    found["grade"] = {
        "right": int(((known["p_HGG"] > 0.5) == high).sum()),
        "of": len(known),
        "auc": float(roc_auc_score(high, known["p_HGG"])) if both else None,
    }
    return found


def main(model: Path, root: Path, out: Path | None) -> None:
    outlines, grades = predicted(model, root)
    wide = outlines.pivot(index="case", columns="region", values=["dice", "hd95", "truth_ml", "predicted_ml"]).round(3)
    print(wide.to_string(), grades.round(3).to_string(index=False), sep="\n\n")
    found = scores(outlines, grades)
    for region in REGIONS:
        values = {name: found[region][name] for name in ("dice", "dice_raw", "hd95_mm", "volume_error")}
        shown = (f"{name} {v['value']:.3f} [{v['ci95'][0]:.3f}, {v['ci95'][1]:.3f}]" for name, v in values.items())
        print(f"{region}: {', '.join(shown)}")
    print(f"grade: {found['grade']}")
    if out:
        write_json(out, {"cases": len(grades), **found})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    main(args.model, args.root, args.json)
