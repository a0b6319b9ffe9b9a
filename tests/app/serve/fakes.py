"""Models with predetermined answers, and uploads for them."""

import ctypes
import io
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from anyio import to_thread
from PIL import Image

from btlib.app.predict.cases import CaseAnswer
from btlib.app.predict.slices import SliceAnswer
from btlib.app.scans.modality import Source
from btlib.app.serve import worker
from btlib.app.serve.predictors import Predictors
from btlib.core.runtime.isolation import Lost
from tests.images.data.samples import picture
from tests.volumes.data.volume_samples import AFFINE, OLD, brain, save

UNSURE = {"error_rate": 0.05, "threshold": 0.7, "validation_answers": 90, "validation_kept": 60, "validation_errors": 3}
CARD = {"unsure": UNSURE, "data_note": "phantom data"}
PROBABILITIES = {"glioma": 0.625, "meningioma": 0.25, "no_tumor": 0.125, "pituitary": 0.0}
SHAPE = (24, 28, 20)


def slice_answer(heat: np.ndarray | None = None, **changed) -> SliceAnswer:
    said = {"label": "glioma", "probabilities": PROBABILITIES, "confidence": 0.625, "unsure": True}
    familiar = {"novelty": 0.5, "unfamiliar": False}
    return SliceAnswer(**said, **familiar, heat=heat, lesion=None, lesion_share=None)._replace(**changed)


def lesion_answer(heat: np.ndarray) -> SliceAnswer:
    """As from a network with a lesion head: the lower half is outlined; nothing if the picture is 32 pixels high."""
    lesion = np.full(heat.shape, 0.1, np.float32)
    lesion[len(heat) // 2 :] = 0.1 if len(heat) == 32 else 0.9
    return slice_answer(heat, lesion=lesion, lesion_share=float((lesion > 0.5).mean()))


def case_answer(shape=SHAPE, **changed) -> CaseAnswer:
    """An off-centre cube of tumour containing a core and an enhancing voxel."""
    labels = np.zeros(shape, np.uint8)
    labels[4:12, 4:12, 4:12] = 2
    labels[6:10, 6:10, 6:10] = 1
    labels[6:10, 6:10, 6] = 3
    doubt = np.where(labels == 2, np.log(2), 0).astype(np.float32)
    heat = np.where(labels == 3, 1, 0).astype(np.float32)
    answer = CaseAnswer(
        name="case",
        grade="HGG",
        probabilities={"LGG": 0.125, "HGG": 0.875},
        confidence=0.875,
        unsure=False,
        novelty=0.5,
        unfamiliar=False,
        labels=labels,
        affine=AFFINE,
        volumes_ml={"wt": 0.512, "tc": 0.064, "et": 0.016},
        uncertainty=doubt,
        heat=heat,
        remarks=(),
        sources={"t1": Source("case_t1.nii.gz", "its name")},
        case=None,
        maps=None,
    )
    return answer._replace(**changed)


def slice_model(answer=slice_answer) -> SimpleNamespace:
    """Its heat is 1 in the picture's left half."""

    def answers(images, heat):
        (image,) = images
        warm = np.zeros(image.shape[:2], np.float32)
        warm[:, : image.shape[1] // 2] = 1
        return [answer(heat=warm)]

    return SimpleNamespace(card=CARD, data_note="phantom data", answer=answers)


def case_model() -> SimpleNamespace:
    """Finds its cube of tumour in any input."""

    def answer(scans, heat):
        return case_answer(scans.images.shape[1:])

    return SimpleNamespace(card=CARD, data_note="phantom data", answer=answer)


class Inline:
    """A worker within this process; see `btlib.app.serve.app.Answering`."""

    def __init__(self, predictors: Predictors):
        self.predictors = predictors

    def start(self) -> dict:
        return self.predictors.described()

    async def answer(self, place: Path, choice: str) -> worker.Reply | Lost:
        return await to_thread.run_sync(self._answer, place, choice)

    def _answer(self, place: Path, choice: str) -> worker.Reply:
        upload = worker.run(self.predictors, worker.opened, place)
        return worker.run(self.predictors, worker.reply, upload, choice)


def load() -> Predictors:
    """Models for a separate process."""
    return Predictors(slice_model(), case_model())


QUOTED = "Anna.png in /secret"
HEIGHTS = {"hang": 20, "crash": 21, "memory": 22, "bug": 23}  # of harmful images


def load_harmed() -> Predictors:
    """Models that fail on some images."""
    return Predictors(SimpleNamespace(card=CARD, data_note="phantom data", answer=_harm), case_model())


def _harm(images: list[np.ndarray], heat: bool) -> list[SliceAnswer]:
    height = len(images[0])
    if height == HEIGHTS["hang"]:
        time.sleep(600)
    if height == HEIGHTS["crash"]:
        ctypes.string_at(0)
    if height == HEIGHTS["memory"]:
        np.ones(2**40, np.uint8)
    if height == HEIGHTS["bug"]:
        raise RuntimeError(QUOTED)
    return [slice_answer()]


def png(key: int = 1, height: int = 48, width: int = 64, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(key, height, width)).save(buffer, format=form)
    return buffer.getvalue()


def case_files(folder: Path) -> list[Path]:
    """Four NIfTI files with BraTS names."""
    names = [name for name in OLD if name != "_seg"]
    return [save(folder / f"case{name}.nii.gz", brain(place, SHAPE)) for place, name in enumerate(names)]


def zipped(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()
