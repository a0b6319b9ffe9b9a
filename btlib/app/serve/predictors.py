"""The models behind the page, and which of them answers an upload. Runs in a process of its own, see `worker`."""

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
from btlib.app.serve.pictures import picture_and_overlay
from btlib.app.serve.uploads import Opened, unpacked
from btlib.app.serve.viewer import tumor_center, viewer_files
from btlib.core.runtime.errors import InputError, guarded
from btlib.volumes.data.conventions import MODALITIES

MAX_SLICE_BYTES = 64 * 2**20
NO_CLASSIFIER = "no model for single images is here; run `dvc repro package_classifier`, then start btlib serve again"
NO_JOINT = "no model for volumes is here; run `dvc repro package_joint`, then start btlib serve again"


class Predictors(NamedTuple):
    """Of single images and of volumes; None where there is no such model."""

    slices: SlicePredictor | None
    cases: CasePredictor | None

    @classmethod
    def load(cls, models: Path) -> "Predictors":
        """Reads the folders `classifier` and `joint` in `models`, where they are.

        Raises:
            InputError: one of them is damaged.
        """
        classifier, joint = models / "classifier", models / "joint"
        return cls(
            SlicePredictor.load(classifier) if classifier.is_dir() else None,
            CasePredictor.load(joint) if joint.is_dir() else None,
        )

    def described(self) -> dict[str, Any]:
        """What a visitor should know of the models first, in sentences."""
        made_up = {one.data_note for one in self if one and one.data_note}
        notes = [
            f"Trained on {note}, images made by a program: what is said here of a person's scan means nothing."
            for note in sorted(made_up)
        ]
        missing = [note for one, note in zip(self, (NO_CLASSIFIER, NO_JOINT), strict=True) if not one]
        return {"notes": notes + [f"{note[0].upper()}{note[1:]}." for note in missing]}

    def opened(self, place: Path) -> Opened:
        """What was sent: one image, or one case.

        Args:
            place: as `uploads.stored` yields it.

        Raises:
            InputError: an archive cannot be unpacked, or the files are neither.
        """
        folder = unpacked(place)
        files = [path for path in folder.rglob("*") if path.is_file()]
        path = files[0] if len(files) == 1 else folder
        return Opened(folder, path, "case" if _without_folder(is_case, folder, path) else "slice")

    def answer(self, upload: Opened, choice: str) -> dict[str, Any]:
        """What the page shows of an upload.

        Args:
            choice: which file is which modality, where the visitor has said so: JSON, {"t1": name, …}. Else nothing.

        Raises:
            InputError: the files are unfit, or there is no model for them.
        """
        if upload.kind == "slice":
            return _without_folder(self._slice, upload.folder, upload.path)
        if choice:
            _state(upload.folder, choice)
            upload = upload._replace(path=upload.folder)
        return _without_folder(self._case, upload.folder, upload.path) | {"proposals": self.proposals(upload)}

    def proposals(self, upload: Opened) -> list[dict[str, Any]]:
        """The volumes of a case, `file`, `modality` and `why` of each, for the visitor to choose from; [] of others."""
        with suppress(InputError):
            return [proposal._asdict() for proposal in proposals(upload.folder)]
        return []

    def _slice(self, file: Path) -> dict[str, Any]:
        if file.is_dir():
            raise InputError("several files, and no volumes among them; send one image, or the four scans of a case")
        if file.suffix.lower() == ".mat":  # the one kind that is read by its name, in a format that can point elsewhere
            raise InputError(f"{file.name}: no MATLAB file is taken here; save its picture as PNG")
        if not self.slices:
            raise InputError(NO_CLASSIFIER)
        if file.stat().st_size > MAX_SLICE_BYTES:
            raise InputError(f"{file.name}: more than {MAX_SLICE_BYTES // 2**20} MiB; save it as PNG or JPEG")
        image = read_slice(file)
        (answer,) = self.slices.answer([image], heat=True)
        words = slice_answer(answer, self.slices.card, not_mr(file))
        return {"name": file.name, **words, **picture_and_overlay(image, answer.heat)}

    def _case(self, upload: Path) -> dict[str, Any]:
        cases, faults, unused = find_cases([upload])
        if faults:
            raise InputError("\n".join(faults))
        if len(cases) != 1:
            raise InputError(f"{len(cases)} cases at once; send one at a time")
        if not self.cases:
            raise InputError(NO_JOINT)
        scans = read_scans(cases[0], resample=True)
        answer = self.cases.answer(scans, heat=True)
        doubt = None if answer.uncertainty is None else answer.uncertainty / np.log(2)  # nats of a yes or no
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


def _without_folder(function: Callable[[Path], Any], folder: Path, path: Path) -> Any:
    """`function(path)`, whose messages name files as the visitor knows them."""
    try:
        return function(path)
    except InputError as error:
        raise InputError(str(error).replace(f"{folder}/", "").replace(str(folder), "the upload")) from error


def _state(folder: Path, choice: str) -> None:
    """Puts the visitor's choice beside the files, where it counts more than what they are called."""
    with guarded("the choice of scans", "JSON object", "choose again on the page", quote=False):
        stated = dict(json.loads(choice))
    state(folder, stated)
