"""Stage normalize_volumes: brings each case to RAS and cubic voxels, crops it to the brain and z-scores it there.

Reads data/volumes/manifest.csv and the folder volumes.root.
Writes data/volumes/normalized/ (<case>.npy, index.csv).
A killed run goes on with the cases that are missing.
Takes about 9 s in the demo on 2 cores. Run: dvc repro normalize_volumes.
"""

from pathlib import Path

from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.volumes.data.manifest import read_manifest
from btlib.volumes.data.normalize import write_normalized


def main(root: Path, manifest: Path, out: Path) -> None:
    p = load_params("volumes.resample", "volumes.spacing", "volumes.clip_percentiles")
    cases = read_manifest(manifest)
    write_normalized(out, root, cases, p.volumes.resample, p.volumes.spacing, p.volumes.clip_percentiles)
    print(f"{len(cases)} cases at {p.volumes.spacing:g} mm")


if __name__ == "__main__":
    run(main)
