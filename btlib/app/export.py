"""ONNX export of the packed models with their preprocessing constants, checked against PyTorch before it is kept."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from btlib.app.models import packed_classifier, packed_joint
from btlib.app.models.packed_classifier import PackedClassifier
from btlib.app.models.packed_joint import PackedJoint
from btlib.core.metrics.outlines import OUTLINED
from btlib.core.runtime.artifacts import atomic_path, write_json
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.images.nets.features import see
from btlib.volumes.data.conventions import GRADES, MODALITIES, REGIONS

MAX_DIFFERENCE = 1e-4  # from PyTorch: absolute, or relative for values above 1
BATCHES = (1, 3)  # sizes checked in onnxruntime; the graph is traced with two
OPSET = 18


class Exported(NamedTuple):
    """A network ready for ONNX.

    graph: maps one tensor [B, …], `input_name`, to the tensors `output_names`; example: an input with B = 3;
    constants: content of the JSON file beside it.
    """

    graph: nn.Module
    example: Tensor
    input_name: str
    output_names: tuple[str, ...]
    constants: dict[str, Any]


class ClassifierGraph(nn.Module):
    """Preprocessed images uint8 [B, S, S, 3] to calibrated probabilities [B, K] and novelty [B] (> 1: unfamiliar).

    With a lesion head also to its probabilities [B, h, w].
    """

    def __init__(self, packed: PackedClassifier):
        super().__init__()
        self.net = packed.net
        self.temperature = packed.card.calibration.temperature
        self.threshold = packed.novelty.threshold
        for name, tensor in packed.novelty.tensors().items():
            self.register_buffer(f"novelty_{name}", tensor)  # unprefixed, the names would clash with the exporter's

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        seen = see(self.net, images.permute(0, 3, 1, 2).float() / 255)
        probabilities = (seen.logits / self.temperature).softmax(dim=1)
        found = probabilities, self._novelty(seen.middle)
        return found if seen.lesion is None else (*found, seen.lesion.sigmoid())

    def _novelty(self, features: Tensor) -> Tensor:
        """As `Novelty.scores`, in float32; the residual is kept as a vector to reduce cancellation."""
        centered = features - self.novelty_mean
        along = centered @ self.novelty_directions.T
        outside = centered - along @ self.novelty_directions
        inside = (along / self.novelty_deviations).square().sum(dim=1)
        return (inside + (outside / self.novelty_rest).square().sum(dim=1)).sqrt() / self.threshold


class JointGraph(nn.Module):
    """Normalised cubes float32 [B, 4, S, S, S] to probabilities of regions [B, 3, S, S, S] and grades [B, 2].

    With `flip_tta`, logits are averaged over each cube and its mirror image, as in `btlib.volumes.nets.windows`.
    """

    def __init__(self, packed: PackedJoint):
        super().__init__()
        self.net = packed.net
        self.temperature = packed.card.calibration.temperature if packed.card.calibration else None

    def forward(self, cubes: Tensor) -> tuple[Tensor, ...]:
        plain = self.net(cubes)
        regions, grade = plain.regions, plain.grade
        if self.net.architecture.flip_tta:
            mirrored = self.net(cubes.flip(2))
            regions = None if regions is None else (regions + mirrored.regions.flip(2)) / 2
            grade = None if grade is None else (grade + mirrored.grade) / 2
        found = [] if regions is None else [torch.sigmoid(regions)]
        return tuple(found if grade is None else [*found, (grade / self.temperature).softmax(dim=1)])


def export_models(models: Path, out: Path) -> dict[Path, float]:
    """Writes classifier.onnx and joint.onnx, each with a .json beside it, for whichever models are in `models`.

    Returns:
        ONNX file -> largest difference from PyTorch (see `MAX_DIFFERENCE`).

    Raises:
        InputError: there is neither model, a folder is damaged, or a network differs by more than MAX_DIFFERENCE (it
            is then not written).
    """
    ready = {}
    if (models / "classifier").is_dir():
        ready["classifier"] = of_classifier(packed_classifier.load_packed(models / "classifier"))
    if (models / "joint").is_dir():
        ready["joint"] = of_joint(packed_joint.load_packed(models / "joint"))
    if not ready:
        raise InputError(
            f"{models}: no model folder 'classifier' or 'joint'; `dvc repro package_classifier package_joint` makes "
            "them, `dvc pull package_classifier package_joint` fetches them"
        )
    return {out / f"{name}.onnx": write_onnx(out / f"{name}.onnx", model) for name, model in ready.items()}


def of_classifier(packed: PackedClassifier) -> Exported:
    """The classifier with its softmax, temperature and novelty, and its lesion map if it has one."""
    card, size = packed.card, packed.card.preprocessing.image_size
    outputs = {
        "probabilities": "[B, K], of `classes`, calibrated",
        "novelty": "[B], above 1: unlike the training images",
    }
    if packed.net.architecture.lesion:
        outputs["lesion"] = (
            "[B, h, w], probability of a lesion on a coarser grid over the same square; resize it bilinearly to the "
            f"image, where at least {OUTLINED} is lesion"
        )
    images = keyed_rng(0, "export").integers(0, 256, (max(BATCHES), size, size, 3), dtype=np.uint8)
    constants = card.model_dump(mode="json") | {
        "input": f"images: uint8 [B, {size}, {size}, 3], RGB; CLAHE (OpenCV, on V of HSV) where enabled, then resized "
        "to the square, by area where it shrinks. Mean and standard deviation are inside the network.",
        "outputs": outputs,
        "classes": list(packed.net.classes),
    }
    return Exported(ClassifierGraph(packed), torch.from_numpy(images), "images", tuple(outputs), constants)


def of_joint(packed: PackedJoint) -> Exported:
    """The joint network on one window, with its sigmoid, softmax and temperature; without its novelty and dropout.

    Post-processing needs the whole volume; its rules are among the constants.
    """
    roi_size, size = packed.window
    architecture = packed.net.architecture
    cubes = keyed_rng(0, "export").standard_normal((max(BATCHES), len(MODALITIES), size, size, size), np.float32)
    outputs = {}
    if architecture.segmentation:
        outputs["regions"] = f"[B, {len(REGIONS)}, {size}, {size}, {size}], probabilities of {', '.join(REGIONS)}"
    if architecture.grading != "none":
        outputs["grade"] = f"[B, {len(GRADES)}], calibrated probabilities of {', '.join(GRADES)}"
    constants = packed.card.model_dump(
        mode="json", include={"preprocessing", "calibration", "postprocessing", "data_note", "intended_use"}
    )
    constants |= {
        "input": f"cubes: float32 [B, {len(MODALITIES)}, {size}, {size}, {size}], {', '.join(MODALITIES)} in RAS "
        f"order of axes; voxels of `spacing` mm, clipped and z-scored inside the brain, 0 outside; windows of "
        f"{roi_size}³ voxels, averaged down to {size}³",
        "outputs": outputs,
    }
    return Exported(JointGraph(packed), torch.from_numpy(cubes), "cubes", tuple(outputs), constants)


def write_onnx(path: Path, model: Exported) -> float:
    """Writes `path` and the constants, as metadata and as JSON beside it; returns the largest difference.

    Raises:
        InputError: it exceeds MAX_DIFFERENCE; nothing is written.
    """
    content = _traced(model)
    difference = largest_difference(content, model)
    if not difference <= MAX_DIFFERENCE:
        raise InputError(
            f"{path}: not written: onnxruntime differs from PyTorch by {difference:.1e}, more than {MAX_DIFFERENCE:.0e}"
        )
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    write_json(path.with_suffix(".json"), model.constants)
    return difference


@torch.no_grad()
def _traced(model: Exported) -> bytes:
    """The ONNX file, with a dynamic batch size and the constants as metadata."""
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it logs every skipped optimisation
    with warnings.catch_warnings(action="ignore"):  # deprecations within the exporter itself
        program = torch.onnx.export(
            model.graph.eval(),
            (model.example[:2],),
            dynamo=True,
            input_names=[model.input_name],
            output_names=list(model.output_names),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    proto = program.model_proto
    for name, value in model.constants.items():
        proto.metadata_props.add(key=name, value=value if isinstance(value, str) else json.dumps(value))
    return proto.SerializeToString()


@torch.no_grad()
def largest_difference(content: bytes, model: Exported) -> float:
    """Between onnxruntime on a CPU and PyTorch, over all outputs and `BATCHES`; relative for values above 1."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = []
    for size in BATCHES:
        given = model.example[:size]
        answers = session.run(None, {model.input_name: given.numpy()})
        for wanted, got in zip(model.graph(given), answers, strict=True):
            expected = wanted.numpy()
            found.append(np.max(np.abs(got - expected) / np.maximum(np.abs(expected), 1)))
    return float(np.max(found))
