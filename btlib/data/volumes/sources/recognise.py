"""Which layout a folder of volumes has."""

from pathlib import Path

from btlib.data.volumes.sources import brats, msd, table
from btlib.data.volumes.sources.entry import Scan
from btlib.errors import InputError, listed

LAYOUTS = """\
  - BraTS 2018 to 2021: <case>/<case>_t1.nii.gz, _t1ce, _t2, _flair, _seg; grades by folders HGG/ and LGG/ or in
    name_mapping.csv
  - BraTS 2023 on: <case>/<case>-t1n.nii.gz, -t1c, -t2w, -t2f, -seg
  - Medical Segmentation Decathlon Task01: dataset.json, imagesTr/, labelsTr/
  - any other: cases.csv with the columns case,t1,t1ce,t2,flair,seg,grade,patient"""


def scan(root: Path) -> Scan:
    """The cases below `root`, listed by the layout that the folder has.

    Raises:
        InputError: `root` is no folder, holds no volumes, or has none of the known layouts.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "no such folder"
        raise InputError(
            f"volumes.root: {root}: {what}; set volumes.root in params.yaml to the folder that holds the volumes "
            "(for the demo's volumes, run `dvc repro`)"
        )
    if (root / table.NAME).is_file():
        found = table.scan(root)
    elif (root / "dataset.json").is_file():
        found = msd.scan(root)
    else:
        found = brats.scan(root)
    if not found.entries:
        seen = f":\n{listed(found.broken, shown=5)}\n" if found.broken else ", and no NIfTI file at all; "
        raise InputError(f"volumes.root: {root}: no case found{seen}known layouts are:\n{LAYOUTS}")
    return found
