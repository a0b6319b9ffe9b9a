"""Stage normalize_volumes: RAS, brain crop, cubic voxels, clipped and z-scored inside the brain; one file per case.

Reads data/volumes/manifest.csv and the volumes' root. Writes data/volumes/normalized/<case>.npz and index.csv.
A run that was killed goes on with the cases that are missing.
Run: dvc repro normalize_volumes.
"""

from pathlib import Path

from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.volumes.data.manifest import read_manifest
from btlib.volumes.data.normalize import write_normalized


def main(root: Path, manifest: Path, out: Path) -> None:
    """Reads the volumes below `root`; writes the normalised cases and their index."""
    p = load_params("volumes.resample", "volumes.spacing", "volumes.clip_percentiles")
    cases = read_manifest(manifest)
    write_normalized(out, root, cases, p.volumes.resample, p.volumes.spacing, p.volumes.clip_percentiles)
    print(f"{len(cases)} cases at {p.volumes.spacing:g} mm")


if __name__ == "__main__":
    run(main)
