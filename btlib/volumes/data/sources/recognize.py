"""Detects the layout of a folder of volumes."""

from pathlib import Path

from btlib.core.runtime.errors import InputError, brief, listed
from btlib.core.runtime.listing import walk
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.reading import is_nifti
from btlib.volumes.data.sources import brats, dataset_json, table
from btlib.volumes.data.sources.entry import Scan

LISTS = (table.NAME, dataset_json.NAME)  # of cases; the first one present is used
LAYOUTS = """\
  - BraTS 2018 to 2021: <case>/<case>_t1.nii.gz, _t1ce, _t2, _flair, _seg; grades by folders HGG/ and LGG/ or in
    name_mapping.csv
  - BraTS 2023 on: <case>/<case>-t1n.nii.gz, -t1c, -t2w, -t2f, -seg
  - Medical Segmentation Decathlon Task01, nnU-Net: dataset.json, imagesTr/, labelsTr/
  - any other: cases.csv with the columns case,t1,t1ce,t2,flair,seg,grade,patient"""


def scan(root: Path) -> Scan:
    """Lists the cases below `root` by the folder's layout.

    Raises:
        InputError: `root` is not a folder, contains no volumes, or has none of the known layouts.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "no such folder"
        raise InputError(
            f"volumes.root: {root}: {what}; set volumes.root in params.yaml to the folder with the volumes "
            "(for the demo's volumes, run `dvc repro`)"
        )
    if (root / table.NAME).is_file():
        found = table.scan(root)
    elif (root / dataset_json.NAME).is_file():
        found = dataset_json.scan(root)
    else:
        found = brats.scan(root)
    if not found.entries:
        faults = found.broken + unused(root, found)
        seen = f":\n{listed(faults, shown=5)}\n" if faults else ", and no NIfTI file at all; "
        raise InputError(f"volumes.root: {root}: no case found{seen}known layouts are:\n{LAYOUTS}")
    return found


def unused(root: Path, found: Scan) -> list[str]:
    """Every unused file below the root with the reason, except text and files left by file managers.

    NIfTI files are included only if a list names the cases; otherwise their faults are in `found`.
    """
    used = {getattr(entry, name).split("#")[0] for entry in found.entries for name in (*MODALITIES, "seg")}
    by_list = next((name for name in LISTS if (root / name).is_file()), None)
    reasons = []
    for path in (str(place / name) for place, names in walk(root, []) for name in names):
        if path not in used and not is_nifti(path):
            reasons.append(f"{brief(path)}: not used, not a NIfTI file")
        elif path not in used and by_list:
            reasons.append(f"{brief(path)}: not used, in no case of {by_list}")
    return reasons
