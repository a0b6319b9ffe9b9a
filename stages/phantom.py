"""Stage phantom: makes the demo images; both folders are empty when images.source is not phantom.

Reads the MNI152 maps that nilearn brings along.
Writes data/raw/phantom/ (images/, masks/, subjects.csv) and data/raw/phantom_elsewhere/, images of another hospital
(tumour/, none/, masks/, slices.csv).
Takes about 45 s in the demo on 2 cores. Run: dvc repro phantom.
"""

from pathlib import Path

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.phantom.atlas import load_atlas
from btlib.phantom.dataset import Plan, write_dataset
from btlib.phantom.elsewhere import write_elsewhere


def main(out: Path, elsewhere: Path) -> None:
    p = load_params(
        "seed",
        "images.source",
        "images.phantom.subjects_per_class",
        "images.phantom.slices_per_subject",
        "images.phantom.image_size",
        "images.phantom.duplicates",
        "images.phantom.external_subjects",
    )
    if p.images.source != "phantom":
        for path in (out, elsewhere):
            with atomic_path(path) as folder:
                folder.mkdir()
        print(f"images.source is '{p.images.source}': no phantoms made, {out} and {elsewhere} are empty")
        return
    sizes = vars(p.images.phantom).copy()
    outside = sizes.pop("external_subjects")
    atlas = load_atlas()
    table = write_dataset(out, Plan(seed=p.seed, **sizes), atlas)
    print(f"{len(table)} images of {table[table.patient != ''].patient.nunique()} subjects in {out}")
    table = write_elsewhere(elsewhere, p.seed, outside, p.images.phantom.image_size, atlas)
    print(f"{len(table)} slices of {table.patient.nunique()} other subjects in {elsewhere}")


if __name__ == "__main__":
    run(main)
