"""Predictions of the packed joint network: grade, masks and uncertainty of one case, on the grid of its files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from btlib.app.models.packed_joint import JointCard, PackedJoint, Preprocessing, load_packed
from btlib.app.scans.modality import Source
from btlib.app.scans.scans import Scans
from btlib.core.explain.gradcam import map_names
from btlib.core.metrics.calibration import scale
from btlib.volumes.data.conventions import GRADES, REGIONS, regions_of
from btlib.volumes.data.normalize import normalize
from btlib.volumes.data.reading import BRAIN_SHARE
from btlib.volumes.data.store import Case, to_native
from btlib.volumes.evaluation.masks import native_labels, voxel_ml
from btlib.volumes.explain.doubts import explanation
from btlib.volumes.explain.maps import Explanation, brain_of, grade_heat
from btlib.volumes.nets.features import encoder_features
from btlib.volumes.nets.inference import CasePrediction, predict_case

UNLIKE = "unlike the training volumes of the network: are these the four modalities, co-registered and skull-stripped?"
SKULL = (
    "almost no background is 0: skull present, or noise in the air? Co-register and skull-strip the scans, for example "
    "with HD-BET"
)


class CaseAnswer(NamedTuple):
    """Prediction for one case; fields of a head that the network lacks are None or empty.

    grade, probabilities (calibrated, LGG and HGG), confidence, unsure: from the grading head; novelty: distance from
    the training volumes / threshold, above 1 is unfamiliar; labels: uint8 [X, Y, Z] as in conventions.py, on the input
    grid; affine: input voxels to mm; volumes_ml: of wt, tc and et; uncertainty: float32 [X, Y, Z], predictive entropy
    of the whole tumour in nats; heat: float32 [X, Y, Z] in 0 … 1, Grad-CAM of the grade; remarks: why it is unfamiliar;
    sources: the file used for each modality, and why; case, maps: the normalised case and all maps on its grid, for
    figures.
    """

    name: str
    grade: str | None
    probabilities: dict[str, float] | None
    confidence: float | None
    unsure: bool | None
    novelty: float
    unfamiliar: bool
    labels: np.ndarray | None
    affine: np.ndarray
    volumes_ml: dict[str, float]
    uncertainty: np.ndarray | None
    heat: np.ndarray | None
    remarks: tuple[str, ...]
    sources: Mapping[str, Source]
    case: Case
    maps: Explanation


class CasePredictor:
    """Predicts one case at a time, as the pipeline's stages do."""

    def __init__(self, packed: PackedJoint):
        self._packed = packed

    @classmethod
    def load(cls, folder: Path) -> "CasePredictor":
        """Reads a folder of stage package_joint. Raises InputError when it is missing or damaged."""
        return cls(load_packed(folder))

    @property
    def card(self) -> dict[str, Any]:
        """As `JointCard`."""
        return self._packed.card.model_dump()

    @property
    def data_note(self) -> str:
        """Kind of training data if it must be mentioned: 'phantom data'."""
        return self._packed.card.data_note

    def answer(self, scans: Scans, heat: bool = True) -> CaseAnswer:
        """Predicts one case.

        Args:
            heat: whether to compute Grad-CAM too.

        Raises:
            InputError: the volumes contain no brain, or one of constant intensity.
        """
        net, window, novelty, card = self._packed
        case = normalized(scans, card.preprocessing)
        predicted = predict_case(net, case, window)
        warm = self._heat(case, predicted) if heat else None
        rules, dropout = card.postprocessing, card.mc_dropout
        maps = explanation((net, window), case, predicted, rules, warm, dropout.samples, dropout.seed)
        labels = None if predicted.regions is None else native_labels(predicted.regions, case, rules)
        (distance,) = novelty.scores(encoder_features(net, case, window)[None])
        remarks = (UNLIKE,) * bool(distance > 1) + (SKULL,) * _fills_its_box(case)
        return CaseAnswer(
            name=case.name,
            **_grade(predicted.grade, card),
            novelty=float(distance),
            unfamiliar=bool(remarks),
            labels=labels,
            affine=case.native_affine,
            volumes_ml={} if labels is None else volumes_ml(labels, case.native_affine),
            uncertainty=_on_input_grid(maps.entropy, case),
            heat=_on_input_grid(maps.gradcam, case),
            remarks=remarks,
            sources=scans.sources,
            case=case,
            maps=maps,
        )

    def _heat(self, case: Case, predicted: CasePrediction) -> np.ndarray | None:
        """Grad-CAM of the predicted grade, over all feature maps that feed the head."""
        net, window, _, _ = self._packed
        if predicted.grade is None:
            return None
        return grade_heat(net, case.image, window, int(predicted.grade.argmax()))[map_names(net)[-1]]


def normalized(scans: Scans, preprocessing: Preprocessing) -> Case:
    """Normalises as stage normalize_volumes does."""
    spacing, percentiles = preprocessing.spacing, preprocessing.clip_percentiles
    return normalize(scans.name, scans.images, None, scans.affine, spacing, percentiles, scans.header)


def volumes_ml(labels: np.ndarray, affine: np.ndarray) -> dict[str, float]:
    """Volume of each of REGIONS in ml."""
    voxel = voxel_ml(affine)
    return {name: float(region.sum() * voxel) for name, region in zip(REGIONS, regions_of(labels), strict=True)}


def _grade(grade: np.ndarray | None, card: JointCard) -> dict:
    """Grade fields of `CaseAnswer`, from uncalibrated probabilities [2]."""
    if grade is None:
        return {"grade": None, "probabilities": None, "confidence": None, "unsure": None}
    calibrated = scale(grade[None], card.calibration.temperature)[0]
    confidence = float(calibrated.max())
    return {
        "grade": GRADES[int(calibrated.argmax())],
        "probabilities": dict(zip(GRADES, calibrated.tolist(), strict=True)),
        "confidence": confidence,
        "unsure": confidence < card.unsure.threshold,
    }


def _on_input_grid(values: np.ndarray | None, case: Case) -> np.ndarray | None:
    return None if values is None else to_native(values[None], case)[0]


def _fills_its_box(case: Case) -> bool:
    """As `btlib.volumes.data.reading.unstripped`, for the modalities together."""
    brain = brain_of(case.image).sum() * abs(np.linalg.det(case.affine[:3, :3]))
    return bool(brain > BRAIN_SHARE * np.prod(case.native_shape) * abs(np.linalg.det(case.native_affine[:3, :3])))
