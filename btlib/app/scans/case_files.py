"""Finds the cases in the user's paths: NIfTI files, sets of them, and DICOM studies."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from btlib.app.scans.dicom_files import Slice, headers, incomplete, is_volume, readable, readable_headers
from btlib.app.scans.modality import Candidate, Proposal, proposals_of
from btlib.app.scans.modality_words import Words
from btlib.app.scans.results import EARLIER, files_below, is_answer
from btlib.app.scans.scans import InputCase
from btlib.app.scans.series import series_of
from btlib.app.scans.stated import NAME, stated_in
from btlib.app.scans.volume_files import conversion_of, is_foreign, nifti_candidate, volumes_in
from btlib.core.runtime.errors import InputError, brief
from btlib.core.runtime.paths import ABSENT
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.ingest import CASE_NAME
from btlib.volumes.data.reading import CHANNEL, is_nifti
from btlib.volumes.data.sources import brats, recognize, table

DATASET = "dataset.json"
LISTS = (table.NAME, DATASET)  # files that list the cases of a set
BRATS_WORDS = dict(zip(MODALITIES, (("t1", False), ("t1", True), ("t2", None), ("flair", None)), strict=True))
REMEDY = (
    "a case is a folder with four NIfTI files named after T1, T1ce, T2 and FLAIR (or with a case.json that assigns "
    "them), a BraTS set, a set with its dataset.json, a cases.csv, or the folder of a DICOM study; to predict slices "
    "with the network for single images, give --as images"
)


class Found(NamedTuple):
    """cases: sorted by name; faults: paths from which nothing can be predicted, and why; unused: files that belong to
    no case or are not needed, and why."""

    cases: list[InputCase]
    faults: list[tuple[Path, str]]
    unused: dict[Path, str]


def is_case(path: Path) -> bool:
    """Whether to read a file or folder as volumes: NIfTI and similar formats, a list of cases, or DICOM series of many
    slices."""
    if not path.is_dir():
        return path.name in LISTS or is_nifti(path.name) or is_foreign(path.name)
    if any((path / name).is_file() for name in (*LISTS, NAME)):
        return True
    names, _ = files_below(path)
    return any(is_nifti(name) or is_foreign(name) for name in names) or is_volume(readable(path, names))


def find_cases(paths: Sequence[Path]) -> Found:
    """Finds the cases in files and folders."""
    cases, faults, unused = [], [], {}
    for path in paths:
        try:
            found, left = _cases_in(path)
        except InputError as error:
            faults.append((path, str(error).removeprefix(f"{path}: ")))
            continue
        cases += found
        unused |= left
    counts = Counter(case.name for case in cases)
    usable = []
    for case in sorted(cases, key=lambda case: case.name):
        fault = _name_fault(case.name, counts[case.name])
        if fault:
            faults.append((case.folder, fault))
        else:
            usable.append(case)
    return Found(usable, faults, unused)


def _name_fault(name: str, count: int) -> str:
    """Why a case found `count` times cannot have this name; '' if it can."""
    if count > 1:
        return f"case {brief(name)}: found {count} times; rename the folders, or predict them separately"
    if not CASE_NAME.fullmatch(name):
        return (
            f"case {brief(ascii(name))}: the name is used for a folder, so rename it: at most 100 letters, digits, "
            "'.', '_' and '-'"
        )
    return ""


def stated_case(stated: Mapping[str, Path]) -> InputCase:
    """A case whose volumes the user names one by one: a NIfTI file, `file#k`, or the folder of a DICOM series.

    Raises:
        InputError: a file or folder does not exist, or contains no volume.
    """
    places = {name: path.absolute() for name, path in stated.items()}
    root = Path(os.path.commonpath([path.parent for path in places.values()]))
    files = {name: path.relative_to(root).as_posix() for name, path in places.items()}
    candidates: dict[str, Candidate] = {}
    for file in files.values():
        for one in _candidates_at(root, file):
            candidates[one.file] = one
    options = " ".join(f"--{name}" for name in stated)
    name = root.name if CASE_NAME.fullmatch(root.name) else "case"
    return InputCase(name, root, tuple(candidates.values()), files, options)


def proposals(folder: Path) -> list[Proposal]:
    """Every volume of the one case in a folder with its probable modality, the likeliest first, even if the case cannot
    be predicted.

    Raises:
        InputError: there is not exactly one case, or a file cannot be read.
    """
    cases, _ = _cases_in(folder)
    if len(cases) != 1:
        raise InputError(f"{len(cases)} cases at once; send one at a time")
    if cases[0].fault:
        raise InputError(cases[0].fault)
    return proposals_of(cases[0].candidates)


def _cases_in(path: Path) -> tuple[list[InputCase], dict[Path, str]]:
    """The cases below a path, and unused files with the reason."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if is_answer(path):
        raise InputError(f"{path}: {EARLIER}; name the scans")
    if not path.is_dir():
        return _cases_of_file(path), {}
    if any((path / name).is_file() for name in LISTS):
        return _cases_of_list(path), {}
    names, unused = files_below(path)
    nifti = [name for name in names if is_nifti(name)]
    foreign = [name for name in names if is_foreign(name)]
    if foreign and not nifti:
        raise InputError(f"{path / foreign[0]}: unsupported volume format; {conversion_of(foreign[0])}")
    cases = _group_nifti(path, nifti) if nifti else _group_dicom(path, names)
    if not cases:
        raise InputError(f"{path}: no case found; {REMEDY}")
    seen = {file for case in cases for file in case.files}
    unused |= {path / name: _why_unused(path / name, bool(nifti)) for name in names if name not in seen}
    return cases, unused


def _cases_of_file(path: Path) -> list[InputCase]:
    if path.name in LISTS:
        return _cases_of_list(path.parent)
    if is_foreign(path.name):
        raise InputError(f"{path}: unsupported volume format; {conversion_of(path.name)}")
    if not is_nifti(path.name):
        raise InputError(f"{path}: not a case; {REMEDY}")
    if volumes_in(path) == 1:
        raise InputError(f"{path}: contains one volume; give the folder of all four scans")
    return [_case_of_4d_file(path)]


def _case_of_4d_file(path: Path) -> InputCase:
    """The case in a 4D file, with the order of volumes from a case.json beside it or from its set's dataset.json.

    Raises:
        InputError: there is neither.
    """
    name = path.name.split(".")[0]
    stated = {modality: file for modality, file in stated_in(path.parent).items() if file.startswith(f"{path.name}#")}
    if stated:
        return InputCase(name, path.parent, (nifti_candidate(path.parent, path.name),), stated)
    for root in (path.parent, path.parent.parent):
        if (root / DATASET).is_file():
            order = _volume_order(root)
            files = {modality: f"{path.relative_to(root).as_posix()}#{number}" for modality, number in order.items()}
            candidate = nifti_candidate(root, path.relative_to(root).as_posix())
            return InputCase(name, root, (candidate,), files, DATASET)
    options = " ".join(f"--{modality} {path}#{number}" for number, modality in enumerate(MODALITIES))
    raise InputError(
        f"{path}: contains {volumes_in(path)} volumes in unknown order; if it is this one, give {options}, or put the "
        "dataset.json of the set beside the file"
    )


def _volume_order(root: Path) -> dict[str, str]:
    """Modality -> number of its volume in the 4D files of a set, from dataset.json.

    Raises:
        InputError: dataset.json lists no 4D file.
    """
    for entry in recognize.scan(root).entries:
        places = {name: CHANNEL.fullmatch(getattr(entry, name)) for name in MODALITIES}
        if all(places.values()):
            return {name: match["number"] for name, match in places.items()}
    raise InputError(
        f"{root / DATASET}: does not give the order of the volumes in a 4D file; give --t1 FILE#0 and so on"
    )


def _cases_of_list(root: Path) -> list[InputCase]:
    """The listed cases, without segmentations and grades, which prediction does not need."""
    by = table.NAME if (root / table.NAME).is_file() else DATASET
    cases = []
    for entry in recognize.scan(root).entries:
        stated = {name: getattr(entry, name) for name in MODALITIES if getattr(entry, name)}
        candidates = tuple(Candidate((file,), Words(None, None), f"named in {by}") for file in stated.values())
        cases.append(InputCase(entry.case, root, candidates, stated, by))
    return cases


def _group_nifti(root: Path, names: Sequence[str]) -> list[InputCase]:
    """Groups files by BraTS names; a folder with other names is one case, its modalities found by words."""
    folders: dict[PurePosixPath, list[str]] = defaultdict(list)
    for name in names:
        folders[_case_folder(root, PurePosixPath(name).parent)].append(name)
    found = []
    for folder, files in folders.items():
        named = {} if (root / folder / NAME).is_file() else _group_brats(files)
        found += [_make_brats_case(root, case, kinds) for case, kinds in named.items()]
        if not named:
            found.append(_make_case(root, folder, [nifti_candidate(root, file) for file in files]))
    return found


def _group_brats(files: Sequence[str]) -> dict[str, dict[str, str]]:
    """The files of a folder by case and kind; empty if a name is not BraTS style or a case is incomplete."""
    cases: dict[str, dict[str, str]] = defaultdict(dict)
    for file in files:
        match = brats.NAME.fullmatch(PurePosixPath(file).name)
        kind = match and (match["old"] or brats.NEW_KINDS[match["new"].lower()]).lower()
        if not kind or kind in cases[match["case"]]:
            return {}
        cases[match["case"]][kind] = file
    return dict(cases) if all(set(MODALITIES) <= set(kinds) for kinds in cases.values()) else {}


def _make_brats_case(root: Path, case: str, kinds: Mapping[str, str]) -> InputCase:
    candidates = tuple(
        Candidate((kinds[name],), Words(*words), f"named {name} in BraTS style") for name, words in BRATS_WORDS.items()
    )
    return InputCase(case, root, candidates, {}, unused={kinds["seg"]: "a segmentation"} if "seg" in kinds else {})


def _group_dicom(root: Path, names: Sequence[str]) -> list[InputCase]:
    """One case per study, or per folder with a case.json, named after its folder. A case has a fault if several studies
    share its folder, or a file there cannot be read."""
    slices, unreadable = readable_headers(root, names)
    studies: dict[PurePosixPath | str, list[Slice]] = defaultdict(list)
    for one in slices:
        folder = _case_folder(root, PurePosixPath(one.path).parent)
        stated = (root / folder / NAME).is_file()
        studies[folder if stated else str(one.tags["StudyInstanceUID"])].append(one)
    cases: dict[PurePosixPath, list[list[Slice]]] = defaultdict(list)
    for study in studies.values():
        cases[PurePosixPath() if len(studies) == 1 and not unreadable else _common_folder(study)].append(study)
    broken = _by_case(root, unreadable, list(cases))
    return [_make_dicom_case(root, folder, cases[folder], broken[folder]) for folder in sorted({*cases, *broken})]


def _by_case(
    root: Path, unreadable: Mapping[str, str], folders: Sequence[PurePosixPath]
) -> dict[PurePosixPath, dict[str, str]]:
    """The unreadable files below each case's folder; those outside of all are cases of their own."""
    found: dict[PurePosixPath, dict[str, str]] = defaultdict(dict)
    for path, reason in unreadable.items():
        place = PurePosixPath(path)
        above = [folder for folder in folders if place.is_relative_to(folder)]
        for folder in above or [_case_folder(root, place.parent)]:
            found[folder][path] = reason
    return found


def _make_dicom_case(
    root: Path, folder: PurePosixPath, studies: Sequence[Sequence[Slice]], unreadable: Mapping[str, str]
) -> InputCase:
    series, unused = series_of([one for study in studies for one in study])
    case = _make_case(root, folder, series)
    case = case._replace(unused=unused | dict(unreadable))
    if len(studies) > 1:
        return case._replace(
            fault=f"the files of {len(studies)} DICOM studies are mixed; put each study into its own folder"
        )
    return case._replace(fault=incomplete(unreadable)) if unreadable else case


def _make_case(root: Path, folder: PurePosixPath, candidates: Sequence[Candidate]) -> InputCase:
    home = _case_folder(root, folder)
    case = InputCase(_case_name(root, folder), root, tuple(candidates), {})
    try:
        stated = {name: (home / file).as_posix() for name, file in stated_in(root / home).items()}
    except InputError as error:
        return case._replace(fault=str(error))
    return case._replace(stated=stated)


def _case_folder(root: Path, folder: PurePosixPath) -> PurePosixPath:
    """The nearest folder with a case.json, from `folder` up to `root`; `folder` itself if there is none."""
    return next((one for one in (folder, *folder.parents) if (root / one / NAME).is_file()), folder)


def _common_folder(slices: Iterable[Slice]) -> PurePosixPath:
    """The deepest folder that contains all slices."""
    return PurePosixPath(os.path.commonpath([PurePosixPath(one.path).parent for one in slices]))


def _case_name(root: Path, folder: PurePosixPath) -> str:
    """Name of the case in `folder` (relative to `root`): the folders' names joined, or the name of `root`."""
    return "_".join(folder.parts) or root.resolve().name


def _candidates_at(root: Path, file: str) -> list[Candidate]:
    """The volumes at a path that the user gives for a modality."""
    path = root / file
    match = CHANNEL.fullmatch(file)
    if path.is_dir():
        return series_of(headers(root, [f"{file}/{name}" for name in files_below(path)[0]]))[0]
    if match and not path.exists():
        file = match["file"]
    if not (root / file).exists():
        raise InputError(f"{root / file}: no such file or folder")
    if not is_nifti(file):
        how = (
            conversion_of(Path(file).name) if is_foreign(file) else "give a NIfTI file, or the folder of a DICOM series"
        )
        raise InputError(f"{root / file}: not a supported volume; {how}")
    return [nifti_candidate(root, file)]


def _why_unused(path: Path, nifti: bool) -> str:
    if not path.is_file():
        return ABSENT if path.is_symlink() else "not a regular file"
    if not path.stat().st_size:
        return "zero bytes"
    if is_foreign(path.name):
        return f"unsupported format; {conversion_of(path.name)}"
    return "not NIfTI, unlike the scans beside it" if nifti else "not a DICOM MR image"
