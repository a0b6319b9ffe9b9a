"""Stage ingest_volumes: reads and checks every volume of every case once, before any training.

Reads the folder volumes.root.
Writes data/volumes/manifest.csv. Faults stop the run, those of all cases in one list.
Takes about 8 s in the demo on 2 cores. Run: dvc repro ingest_volumes.
"""

from pathlib import Path

from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.errors import listed
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.volumes.data.ingest import ingest
from btlib.volumes.data.labels import numbering, spelled, stated


def main(root: Path, manifest: Path) -> None:
    p = load_params("volumes.resample", "volumes.labels")
    cases, warnings = ingest(root, p.volumes.resample, stated(p.volumes.labels))
    write_csv(manifest, cases)
    if warnings:
        print(f"{len(warnings)} warning(s):\n{listed(warnings)}")
    print(f"{len(cases)} cases of {cases.patient.nunique()} patients, {(cases.seg != '').sum()} segmented")
    for labels, number in cases.labels[cases.labels != ""].value_counts().items():
        print(f"labels of {number} segmentations read as {labels}: {spelled(numbering(labels))}")


if __name__ == "__main__":
    run(main)
