"""Answers of the packed joint network: grade, masks and doubts of one case, on the grid of its files."""

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
from btlib.volumes.explain.doubts import explanation
from btlib.volumes.explain.maps import Explanation, brain_of, grade_heat
from btlib.volumes.nets.features import encoder_features
from btlib.volumes.nets.inference import CasePrediction, native_labels, predict_case

UNLIKE = (
    "unlike the volumes that the network was trained on: are these the four modalities, co-registered, without skull?"
)
SKULL = (
    "hardly anywhere 0: with skull, or noise in the air? Strip it, for example with HD-BET, and co-register the scans"
)


class CaseAnswer(NamedTuple):
    """What the network says of one case; None, or no volumes, where it lacks the part.

    grade, probabilities (calibrated, of LGG and HGG), confidence, unsure: by the head; novelty: distance from the
    training volumes over the limit, above 1 is unfamiliar; labels: uint8 [X, Y, Z] as in conventions.py on the input
    grid, which `affine` leads to mm from; volumes_ml: of wt, tc and et; uncertainty: float32 [X, Y, Z], predictive
    entropy of the whole tumour in nats; heat: float32 [X, Y, Z] in 0 … 1, Grad-CAM of the grade; remarks: why it is
    unfamiliar; sources: what was taken for each modality, and why; case, maps: the normalised case and all maps on its
    grid, for pictures.
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
    """Answers case by case, as the pipeline's stages do."""

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
        """What the training data were, where that must be said: 'phantom data'."""
        return self._packed.card.data_note

    def answer(self, scans: Scans, heat: bool = True) -> CaseAnswer:
        """Everything about one case.

        Args:
            heat: whether Grad-CAM is wanted too.

        Raises:
            InputError: no brain in the volumes, or one without any contrast.
        """
        net, window, novelty, card = self._packed
        case = normalized(scans, card.preprocessing)
        predicted = predict_case(net, case, window)
        warm = self._heat(case, predicted) if heat else None
        maps = explanation((net, window), case, predicted, warm, card.mc_dropout.samples, card.mc_dropout.seed)
        labels = None if predicted.regions is None else native_labels(predicted.regions, case)
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
        """Grad-CAM of the predicted grade, over all feature maps that it rests on."""
        net, window, _, _ = self._packed
        if predicted.grade is None:
            return None
        return grade_heat(net, case.image, window, int(predicted.grade.argmax()))[map_names(net)[-1]]


def normalized(scans: Scans, preprocessing: Preprocessing) -> Case:
    """As stage normalize_volumes does it."""
    spacing, percentiles = preprocessing.spacing, preprocessing.clip_percentiles
    return normalize(scans.name, scans.images, None, scans.affine, spacing, percentiles, scans.header)


def volumes_ml(labels: np.ndarray, affine: np.ndarray) -> dict[str, float]:
    """Millilitres of each of REGIONS; a voxel's volume is the determinant of its affine, in mm³."""
    voxel = abs(np.linalg.det(affine[:3, :3])) / 1000
    return {name: float(region.sum() * voxel) for name, region in zip(REGIONS, regions_of(labels), strict=True)}


def _grade(grade: np.ndarray | None, card: JointCard) -> dict:
    """The fields of the grade, from its probabilities [2] before calibration."""
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
    """As `btlib.volumes.data.reading.unstripped`, of the modalities together."""
    brain = brain_of(case.image).sum() * abs(np.linalg.det(case.affine[:3, :3]))
    return bool(brain > BRAIN_SHARE * np.prod(case.native_shape) * abs(np.linalg.det(case.native_affine[:3, :3])))
