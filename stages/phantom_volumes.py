"""Stage phantom_volumes: makes the demo volumes; the folder is empty when volumes.source is not phantom.

Reads the MNI152 maps that nilearn brings along.
Writes data/raw/phantom_volumes/ (a folder per patient, name_mapping.csv).
Takes about 30 s in the demo on 2 cores. Run: dvc repro phantom_volumes.
"""

from pathlib import Path

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.phantom.volume_set import write_volume_set


def main(out: Path) -> None:
    p = load_params(
        "seed",
        "volumes.source",
        "volumes.phantom.cases",
        "volumes.phantom.spacing",
        "volumes.phantom.varied",
        "volumes.phantom.variety",
    )
    if p.volumes.source != "phantom":
        with atomic_path(out) as folder:
            folder.mkdir()
        print(f"volumes.source is '{p.volumes.source}': no phantoms made, {out} is empty")
        return
    phantom = p.volumes.phantom
    variety = phantom.variety if phantom.varied else None
    table = write_volume_set(out, p.seed, phantom.cases, phantom.spacing, variety=variety)
    print(f"{len(table)} patients, {(table.Grade == 'HGG').sum()} of them high-grade, in {out}")


if __name__ == "__main__":
    run(main)
