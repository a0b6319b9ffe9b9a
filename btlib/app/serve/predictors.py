"""The models behind the page, and the choice between them for an upload. Runs in a separate process, see `worker`."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from btlib.app.predict.cases import CasePredictor
from btlib.app.predict.slices import SlicePredictor
from btlib.app.scans.case_files import find_cases, is_case, proposals
from btlib.app.scans.scans import read_scans
from btlib.app.scans.slice_files import not_mr, read_slice
from btlib.app.scans.stated import state
from btlib.app.serve.answers import case_answer, slice_answer
from btlib.app.serve.pictures import pictures
from btlib.app.serve.uploads import Opened, unpacked
from btlib.app.serve.viewer import tumor_center, viewer_files
from btlib.core.runtime.errors import InputError, guarded
from btlib.volumes.data.conventions import MODALITIES

MAX_SLICE_BYTES = 64 * 2**20
NO_CLASSIFIER = "no model for single images; run `dvc repro package_classifier`, then restart btlib serve"
NO_JOINT = "no model for volumes; run `dvc repro package_joint`, then restart btlib serve"


class Predictors(NamedTuple):
    """Predictors of single images and of volumes; None if the model is missing."""

    slices: SlicePredictor | None
    cases: CasePredictor | None

    @classmethod
    def load(cls, models: Path) -> "Predictors":
        """Reads the folders `classifier` and `joint` in `models`, if they exist.

        Raises:
            InputError: one of them is damaged.
        """
        classifier, joint = models / "classifier", models / "joint"
        return cls(
            SlicePredictor.load(classifier) if classifier.is_dir() else None,
            CasePredictor.load(joint) if joint.is_dir() else None,
        )

    def described(self) -> dict[str, Any]:
        """Notes on the models for visitors, as sentences."""
        synthetic = {one.data_note for one in self if one and one.data_note}
        notes = [
            f"Trained on {note}, which are synthetic images: predictions for scans of real people are meaningless."
            for note in sorted(synthetic)
        ]
        missing = [note for one, note in zip(self, (NO_CLASSIFIER, NO_JOINT), strict=True) if not one]
        return {"notes": notes + [f"{note[0].upper()}{note[1:]}." for note in missing]}

    def opened(self, place: Path) -> Opened:
        """The upload as one image or one case.

        Args:
            place: as yielded by `uploads.stored`.

        Raises:
            InputError: an archive cannot be unpacked, or the files are neither.
        """
        folder = unpacked(place)
        files = [path for path in folder.rglob("*") if path.is_file()]
        path = files[0] if len(files) == 1 else folder
        return Opened(folder, path, "case" if _hide_folder(is_case, folder, path) else "slice")

    def answer(self, upload: Opened, choice: str) -> dict[str, Any]:
        """The prediction for an upload, as the page shows it.

        Args:
            choice: the visitor's assignment of files to modalities as JSON, {"t1": name, …}; or ''.

        Raises:
            InputError: the files are unsuitable, or there is no model for them.
        """
        if upload.kind == "slice":
            return _hide_folder(self._predict_slice, upload.folder, upload.path)
        if choice:
            _write_choice(upload.folder, choice)
            upload = upload._replace(path=upload.folder)
        return _hide_folder(self._predict_case, upload.folder, upload.path) | {"proposals": self.proposals(upload)}

    def proposals(self, upload: Opened) -> list[dict[str, Any]]:
        """`file`, `modality` and `why` of each volume of a case, for the visitor to choose from; [] otherwise."""
        with suppress(InputError):
            return [proposal._asdict() for proposal in proposals(upload.folder)]
        return []

    def _predict_slice(self, file: Path) -> dict[str, Any]:
        if file.is_dir():
            raise InputError("several files, and no volumes among them; send one image, or the four scans of a case")
        if file.suffix.lower() == ".mat":  # the only format read by its name; it may contain links to other files
            raise InputError(f"{file.name}: MATLAB files are not accepted here; save the image as PNG")
        if not self.slices:
            raise InputError(NO_CLASSIFIER)
        if file.stat().st_size > MAX_SLICE_BYTES:
            raise InputError(f"{file.name}: more than {MAX_SLICE_BYTES // 2**20} MiB; save it as PNG or JPEG")
        image = read_slice(file)
        (answer,) = self.slices.answer([image], heat=True)
        words = slice_answer(answer, self.slices.card, not_mr(file))
        return {"name": file.name, **words, **pictures(image, answer.heat, answer.lesion)}

    def _predict_case(self, upload: Path) -> dict[str, Any]:
        cases, faults, unused = find_cases([upload])
        if faults:
            raise InputError("\n".join(f"{path}: {reason}" for path, reason in faults))
        if len(cases) != 1:
            raise InputError(f"{len(cases)} cases at once; send one at a time")
        if not self.cases:
            raise InputError(NO_JOINT)
        scans = read_scans(cases[0], resample=True)
        answer = self.cases.answer(scans, heat=True)
        doubt = (
            None if answer.uncertainty is None else answer.uncertainty / np.log(2)
        )  # entropy of a binary variable, nats to bits
        files = viewer_files(
            dict(zip(MODALITIES, scans.images, strict=True)),
            answer.labels,
            {"uncertainty": doubt, "heat": answer.heat},
            scans.affine,
        )
        center = tumor_center(answer.labels, scans.affine)
        words = case_answer(answer, self.cases.card, scans.remarks)
        left = [f"{path.relative_to(upload)}: {reason}" for path, reason in unused.items()]
        return {"name": scans.name, **words, **files, "centre": center, "unused": left}


def _hide_folder(function: Callable[[Path], Any], folder: Path, path: Path) -> Any:
    """Calls `function(path)`; error messages name files as the visitor knows them."""
    try:
        return function(path)
    except InputError as error:
        raise InputError(str(error).replace(f"{folder}/", "").replace(str(folder), "the upload")) from error


def _write_choice(folder: Path, choice: str) -> None:
    """Writes the visitor's choice beside the files, where it overrides their names."""
    with guarded("the choice of scans", "JSON object", "choose again on the page", quote=False):
        stated = dict(json.loads(choice))
    state(folder, stated)
