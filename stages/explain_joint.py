"""Stage explain_joint: where the joint network looks for the grade, what it attends to and where it is unsure.

Reads models/joint/, data/volumes/normalized/ and data/joint/predictions/.
Writes metrics/explain_joint.json and data/tables/explain_joint.csv (how much of the grade's heat is tumour, over all
test cases) and, of the chosen cases, data/figures/joint/explain/ (the 3D paper's Figure 1) and data/joint/maps/ (NIfTI
on the input grid, a folder per case).
Takes about 40 s in the demo on 2 cores. Run: dvc repro explain_joint.
"""

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from btlib.core.explain.gradcam import map_names
from btlib.core.metrics.headlines import MAP_LEVELS, map_headline
from btlib.core.metrics.localization import localization_scores
from btlib.core.metrics.score_table import write_scores
from btlib.core.runtime.artifacts import write_json
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.volume_maps import case_title, explanation_figure
from btlib.volumes.data.store import load_case
from btlib.volumes.evaluation.masks import native_labels, read_rules
from btlib.volumes.evaluation.tables import read_joint_tables
from btlib.volumes.explain.doubts import explanation
from btlib.volumes.explain.maps import cases_to_explain, grade_heat, heat_in_brain, write_maps
from btlib.volumes.nets.inference import predict_case
from btlib.volumes.nets.store import load_joint


def main(
    model: Path, normalized: Path, predictions: Path, maps: Path, metrics: Path, scores_out: Path, figures: Path
) -> None:
    p = load_params("seed", "volumes.source", "joint.mc_samples", "joint.explained_cases", "evaluation.bootstrap")
    net, window = load_joint(model)
    tables, rules = read_joint_tables(predictions), read_rules(predictions)
    chosen = cases_to_explain(tables.test, p.joint.explained_cases, p.seed, "explained cases")
    drawn = FigureFolder(figures, data_note(p.volumes.source))
    kinds = map_names(net) if net.architecture.grading != "none" else ()

    heat = []
    for row in tqdm(tables.test.itertuples(), desc="explain", total=len(tables.test), unit="case"):
        case = load_case(normalized, row.case)
        heats = grade_heat(net, case.image, window, int(row.p_HGG > row.p_LGG)) if kinds else {}
        heat.append(heat_in_brain(case, row.grade or "ungraded", heats))
        if row.case in chosen:
            warm = heats[kinds[-1]] if kinds else None
            predicted = predict_case(net, case, window)
            found = explanation((net, window), case, predicted, rules, warm, p.joint.mc_samples, p.seed)
            labels = None if predicted.regions is None else native_labels(predicted.regions, case, rules)
            write_maps(maps / case.name, found, labels, case)
            title = case_title(row, tables.segmentation)
            drawn.write(f"{case.name}.png", explanation_figure(title, case, found))

    table = pd.concat(heat)
    table["group"] = table["image_id"].map(tables.test.set_index("case")["patient"])
    rng = keyed_rng(p.seed, "explain_joint bootstrap")
    maps_scores = localization_scores(table, list(kinds), p.evaluation.bootstrap, rng)
    scores = {"n_test": len(tables.test), "n_explained": len(chosen), "maps": maps_scores}
    write_json(metrics, map_headline(scores))
    write_scores(scores_out, scores, MAP_LEVELS)


if __name__ == "__main__":
    run(main)
