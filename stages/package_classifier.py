"""Stage package_classifier: puts into one folder all that the classifier needs to predict a new image.

Reads models/stage2/, data/predictions/val.csv, data/processed/, data/manifest.csv and data/splits.csv.
Writes models/deploy/classifier/: the network, the preprocessing of its images, the temperature and the confidence below
which it is unsure, both chosen on the validation images, and the training images' features, for novelty.
Takes about 5 s in the demo on 2 cores. Run: dvc repro package_classifier.
"""

from pathlib import Path

from btlib.app.models.model_card import Calibration, Limit, Unsure
from btlib.app.models.novelty import fit_novelty
from btlib.app.models.packed_classifier import ClassifierCard, PackedClassifier, Preprocessing, save_packed
from btlib.core.metrics.calibration import fit_temperature, scale
from btlib.core.metrics.predictions import groups_of, read_predictions
from btlib.core.metrics.selective import unsure_threshold
from btlib.core.runtime.artifacts import read_csv, read_json
from btlib.core.runtime.network_files import CARD
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.images.data.preprocessing import load_processed
from btlib.images.data.splits import rows_of
from btlib.images.nets.features import middle_features
from btlib.images.nets.store import load_classifier

INTENDED_USE = (
    "Research on telling brain tumours apart in single MRI slices; not a medical device, and not for decisions about "
    "patients."
)


def main(model: Path, predictions: Path, processed: Path, manifest: Path, splits: Path, out: Path) -> None:
    p = load_params("image_size", "images.source", "images.clahe", "images.white_percentile", "deploy")
    net = load_classifier(model)
    images, index = load_processed(processed)
    parts = read_csv(splits, text=("image_id", "split"))
    train, validation = (middle_features(net, images[rows_of(parts, index, part)]) for part in ("train", "val"))
    novelty = fit_novelty(train, validation, p.deploy.novelty_quantile)
    val = read_predictions(predictions / "val.csv", net.classes)
    temperature = fit_temperature(val.probabilities, val.labels, groups_of(manifest, val.image_ids))
    confidence = scale(val.probabilities, temperature).max(axis=1)
    card = ClassifierCard(
        preprocessing=Preprocessing(
            image_size=p.image_size,
            white_percentile=p.images.white_percentile,
            clahe=p.images.clahe.model_dump(),
        ),
        calibration=Calibration(temperature=temperature),
        unsure=Unsure(**unsure_threshold(confidence, val.correct, p.deploy.error_rate)),
        novelty=Limit(quantile=p.deploy.novelty_quantile, threshold=novelty.threshold),
        data_note=data_note(p.images.source),
        intended_use=INTENDED_USE,
    )
    save_packed(out, PackedClassifier(net.cpu(), novelty, card), read_json(model / CARD))


if __name__ == "__main__":
    run(main)
