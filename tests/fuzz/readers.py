"""Every way in which foreign bytes come into the program, each read as the program reads it."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from unittest.mock import patch

import anyio
import numpy as np
import pandas as pd

from btlib.app.models import packed_classifier, packed_joint
from btlib.app.models.packed_joint import Preprocessing
from btlib.app.predict.cases import normalized
from btlib.app.scans.case_files import find_cases, is_case, proposals
from btlib.app.scans.scans import read_scans
from btlib.app.scans.slice_files import find_slices, not_mr, read_slice
from btlib.app.serve.uploads import Upload, stored, unpacked
from btlib.core.runtime.artifacts import read_csv, read_json, read_tensors
from btlib.core.runtime.errors import InputError
from btlib.core.settings.schema import read_params
from btlib.core.training.resume import ResumeState
from btlib.images.data.annotations import read_annotations
from btlib.images.data.own_splits import own_split
from btlib.images.data.reading import open_image, open_mask, read_mat_label
from btlib.images.data.sources import phantom
from btlib.images.data.sources.entry import Request
from btlib.volumes.data import ingest
from btlib.volumes.data.sources import recognize
from btlib.volumes.data.store import load_case
from tests.fuzz import formats, seeds
from tests.fuzz.trial import OUTSIDE, Reader

MODEL = Preprocessing(spacing=6.0, clip_percentiles=(0.5, 99.5))


def _only(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def _with_traps(folder: Path) -> None:
    """Links without an end, out of the folder and to nowhere, and a pipe that nobody writes to."""
    for name, target in (("loop", "loop"), ("nowhere", "missing"), ("out.png", f"../{OUTSIDE}")):
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")


def _is_picture(image: np.ndarray) -> None:
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3, (image.dtype, image.shape)


def _picture(folder: Path) -> Iterable[str]:
    _is_picture(open_image(folder, _only(folder).name))
    return ()


def _mask(folder: Path) -> Iterable[str]:
    mask = open_mask(folder, _only(folder).name)
    assert mask.dtype == bool and mask.ndim == 2, (mask.dtype, mask.shape)
    return ()


def _mat(folder: Path) -> Iterable[str]:
    """Label, patient, mask and picture, whichever of them are whole."""
    name, said = _only(folder).name, []
    for part in (read_mat_label, open_mask, open_image):
        try:
            part(folder, name)
        except InputError as error:
            said.append(str(error))
    if said:
        raise InputError(said[0])
    return ()


def _dicom_slice(folder: Path) -> Iterable[str]:
    path = _only(folder)
    _is_picture(read_slice(path))
    return (not_mr(path),)


def _slices(folder: Path) -> Iterable[str]:
    """A folder of images, where one that is damaged must not stop the others."""
    _with_traps(folder)
    found, refused = find_slices([folder])
    said = list(refused.values())
    for path in found:
        try:
            _is_picture(read_slice(path))
        except InputError as error:
            said.append(str(error))
    is_case(folder)
    return said


def _cases(folder: Path) -> Iterable[str]:
    """Cases as far as the network sees them, and what is said of their files."""
    found = find_cases([folder])
    if found.faults:
        raise InputError("\n".join(reason for _, reason in found.faults))
    said = list(found.unused.values())
    for case in found.cases:
        scans = read_scans(case, resample=True)
        assert np.isfinite(normalized(scans, MODEL).image).all()
        said += [*scans.remarks, *(source.why for source in scans.sources.values())]
        said += case.unused_beside(case.choose()).values()
    return said


def _stated(folder: Path) -> Iterable[str]:
    """The same, and what the page proposes for its menu."""
    return [*map(str, proposals(folder)), *_cases(folder)]


def _volumes(folder: Path) -> Iterable[str]:
    """Cases with segmentations, as the ingest reads them; in this process, which is isolated already."""
    with patch.object(ingest, "in_isolation", lambda function, items, *_, **__: map(function, items)):
        return ingest.ingest(folder, resample=True)[1]


def _stored_case(folder: Path) -> Iterable[str]:
    load_case(folder, _only(folder).stem)
    return ()


def _subjects(folder: Path) -> Iterable[str]:
    _with_traps(folder)
    found = phantom.scan(Request(folder))
    return [text[:1000] for text in (found.broken + found.unreadable)[:4]]


def _annotations(folder: Path) -> Iterable[str]:
    name = _only(folder).name
    _with_traps(folder)
    read_annotations(folder, name)
    return ()


def _own_split(folder: Path) -> Iterable[str]:
    own_split(folder, _only(folder).name, pd.DataFrame({"image_id": ["a", "b"], "path": ["x/a.png", "x/b.png"]}))
    return ()


def _layout(folder: Path) -> Iterable[str]:
    """A list of cases whose files are missing, links or pipes."""
    _with_traps(folder)
    found = recognize.scan(folder)
    return [text[:1000] for text in found.broken[:4]]


def _own_csv(folder: Path) -> Iterable[str]:
    read_csv(_only(folder), text=("name",))
    return ()


def _own_json(folder: Path) -> Iterable[str]:
    read_json(_only(folder))
    return ()


def _tensors(folder: Path) -> Iterable[str]:
    read_tensors(_only(folder))
    return ()


def _classifier(folder: Path) -> Iterable[str]:
    packed_classifier.load_packed(folder)
    return ()


def _joint(folder: Path) -> Iterable[str]:
    packed_joint.load_packed(folder)
    return ()


def _resume(folder: Path) -> Iterable[str]:
    path = _only(folder)
    ResumeState(".", path.stem, folder).load()
    return ()


def _params(folder: Path) -> Iterable[str]:
    read_params(_only(folder))
    return ()


def _zip(folder: Path) -> Iterable[str]:
    path = _only(folder)
    with path.open("rb") as content:
        assert anyio.run(_uploaded, [Upload(path.name, content)])
    return ()


def _names(folder: Path) -> Iterable[str]:
    """The names of an upload, one in each line of a file."""
    names = _only(folder).read_bytes().decode("utf-8", "surrogateescape").split("\n")
    assert len(anyio.run(_uploaded, [Upload(name, io.BytesIO(b"content")) for name in names])) == len(names)
    return ()


async def _uploaded(uploads: list[Upload]) -> list[Path]:
    """The files of an upload, as the page's server writes them and its worker opens them."""
    async with stored(uploads) as place:
        return [path for path in unpacked(place).rglob("*") if path.is_file()]


READERS = {
    reader.name: reader
    for reader in (
        Reader("Png", seeds.png, _picture, (formats.png_chunk,), isolated=True),
        Reader("Jpeg", seeds.jpeg, _picture, isolated=True),
        Reader("Tiff", seeds.tiff, _picture, (formats.tiff_entry,), isolated=True),
        Reader("Bmp", seeds.bmp, _picture, isolated=True),
        Reader("Webp", seeds.webp, _picture, isolated=True),
        Reader("Mask", seeds.mask, _mask, (formats.png_chunk, formats.tiff_entry), isolated=True),
        Reader("Mat", seeds.mat, _mat, (formats.odd_mat,), isolated=True),
        Reader("DicomSlice", seeds.dicom_slice, _dicom_slice, (formats.dicom_element,), isolated=True),
        Reader("DicomFolder", seeds.dicom_folder, _slices, (formats.dicom_element, formats.png_chunk), isolated=True),
        Reader("DicomStudy", seeds.dicom_study, _cases, (formats.dicom_element,), isolated=True),
        Reader("Nifti", seeds.nifti, _cases, (formats.nifti_field, formats.any_in_gzip), isolated=True),
        Reader("CaseJson", seeds.case_json, _stated, (formats.json_value,), isolated=True),
        Reader("Segmentation", seeds.segmentation, _volumes, (formats.nifti_field, formats.any_in_gzip), isolated=True),
        Reader("StoredCase", seeds.stored_case, _stored_case, (formats.zip_entry,)),
        Reader("SubjectsCsv", seeds.subjects, _subjects, (formats.table_cell,)),
        Reader("Annotations", seeds.annotations, _annotations, (formats.table_cell,)),
        Reader("OwnSplit", seeds.own_split, _own_split, (formats.table_cell,)),
        Reader("CasesCsv", seeds.cases_csv, _layout, (formats.table_cell,)),
        Reader(
            "CasesCsvVolumes", seeds.cases_csv_of_volumes, _cases, (formats.table_cell,), isolated=True, named=False
        ),
        Reader("NameMapping", seeds.name_mapping, _layout, (formats.table_cell,)),
        Reader("DatasetJson", seeds.dataset_json, _layout, (formats.json_value,)),
        Reader("OwnCsv", seeds.annotations, _own_csv, (formats.table_cell,)),
        Reader("OwnJson", seeds.dataset_json, _own_json, (formats.json_value,)),
        Reader("Tensors", seeds.tensors, _tensors, (formats.tensors_header,)),
        Reader("ModelCardClassifier", seeds.classifier, _classifier, (formats.json_value, formats.tensors_header)),
        Reader("ModelCardJoint", seeds.joint, _joint, (formats.json_value, formats.tensors_header)),
        Reader("ResumeFile", seeds.resume, _resume, (formats.tensors_header,)),
        Reader("Params", seeds.params, _params, (formats.yaml_line,)),
        Reader("Zip", seeds.zips, _zip, (formats.zip_entry,), isolated=True),
        Reader("UploadNames", seeds.upload_names, _names, (formats.table_cell,), named=False),
    )
}
