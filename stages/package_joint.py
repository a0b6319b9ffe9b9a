"""Stage package_joint: puts into one folder all that the joint network needs to predict a new case.

Reads models/joint/, data/joint/predictions/ (val.csv, postprocessing.json), data/volumes/normalized/,
data/volumes/splits.csv and data/volumes/phantom_cases/.
Writes models/deploy/joint/: the network, the temperature, the confidence below which it is unsure and the
post-processing of masks, all chosen on the validation cases, and the training volumes' features, for novelty.
Takes about 3 s in the demo on 2 cores. Run: dvc repro package_joint.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from btlib.app.models.model_card import Calibration, Limit, Unsure
from btlib.app.models.novelty import fit_novelty
from btlib.app.models.packed_joint import Dropout, JointCard, PackedJoint, Preprocessing, save_packed
from btlib.core.metrics.calibration import scale
from btlib.core.metrics.selective import unsure_threshold
from btlib.core.runtime.artifacts import read_json
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.network_files import CARD
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.volumes.data.cases import Cases
from btlib.volumes.data.conventions import GRADES
from btlib.volumes.data.splits import cases_of
from btlib.volumes.data.store import load_index
from btlib.volumes.evaluation.masks import read_rules
from btlib.volumes.evaluation.scores import grade_temperature
from btlib.volumes.evaluation.tables import PROBABILITIES, read_grade_predictions
from btlib.volumes.nets.features import encoder_features
from btlib.volumes.nets.network import JointNet
from btlib.volumes.nets.store import load_joint
from btlib.volumes.nets.windows import Window

MOST_PHANTOMS = 256  # whose features are computed: several times as many as novelty has directions
INTENDED_USE = "Research on segmenting and grading gliomas; not a medical device, and not for decisions about patients."


def main(model: Path, predictions: Path, normalized: Path, splits: Path, phantoms: Path, out: Path) -> None:
    p = load_params("seed", "volumes.source", "volumes.phantom.share", "joint.mc_samples", "deploy")
    net, window = load_joint(model)
    history = read_json(model / CARD)
    index = load_index(normalized)
    share = p.volumes.phantom.share
    seen = {normalized: cases_of(splits, index, "train") if share < 1 else []}
    seen[phantoms] = list(load_index(phantoms)["case"])[:MOST_PHANTOMS] if share > 0 else []
    features = partial(_features, net, window)
    train, val = features(seen, "train"), features({normalized: cases_of(splits, index, "val")}, "val")
    novelty = fit_novelty(train, val, p.deploy.novelty_quantile)
    answers = read_grade_predictions(predictions / "val.csv")
    temperature = grade_temperature(answers)
    graded = net.architecture.grading != "none"
    if graded and temperature is None:
        raise InputError(f"{predictions / 'val.csv'}: no graded case, so the probabilities cannot be calibrated")
    card = JointCard(
        preprocessing=Preprocessing(**history.pop("normalisation")),
        calibration=Calibration(temperature=temperature) if graded else None,
        unsure=Unsure(**unsure(answers, temperature, p.deploy.error_rate)) if graded else None,
        novelty=Limit(quantile=p.deploy.novelty_quantile, threshold=novelty.threshold),
        mc_dropout=Dropout(samples=p.joint.mc_samples, seed=p.seed),
        postprocessing=read_rules(predictions),
        data_note=data_note("phantom" if share == 1 else p.volumes.source),
        intended_use=INTENDED_USE,
    )
    save_packed(out, PackedJoint(net, window, novelty, card), history)


def _features(net: JointNet, window: Window, kept: Mapping[Path, Sequence[str]], part: str) -> np.ndarray:
    """Features [N, D] of the cases in `kept`, folder -> their names."""
    cases = tqdm(Cases(kept), desc=f"features of {part}", unit="case", mininterval=1)
    return np.stack([encoder_features(net, case, window) for case in cases])


def unsure(val: pd.DataFrame, temperature: float, error_rate: float) -> dict[str, float]:
    """The confidence above which the calibrated grades of the validation cases are right often enough."""
    known = val[val["grade"] != ""]
    calibrated = scale(known[PROBABILITIES].to_numpy(), temperature)
    correct = np.array(GRADES)[calibrated.argmax(axis=1)] == known["grade"]
    return unsure_threshold(calibrated.max(axis=1), correct.to_numpy(), error_rate)


if __name__ == "__main__":
    run(main)
