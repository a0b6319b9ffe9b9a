"""Stage phantom: makes the embedded demo images; an empty folder when images.source is another.

Reads nilearn's bundled MNI152 maps. Writes data/raw/phantom/ (images/, masks/, subjects.csv).
Run: dvc repro phantom.
"""

from pathlib import Path

from btlib.artifacts import atomic_path
from btlib.params import load_params
from btlib.phantom.dataset import Plan, write_dataset
from btlib.stage import run


def main(out: Path) -> None:
    p = load_params("seed", "images.source", "images.phantom")
    if p.images.source != "phantom":
        with atomic_path(out) as folder:
            folder.mkdir()
        print(f"images.source is '{p.images.source}': no phantoms made, {out} is empty")
        return
    table = write_dataset(out, Plan(seed=p.seed, **p.images.phantom.model_dump()))
    print(f"{len(table)} images of {table[table.patient != ''].patient.nunique()} subjects in {out}")


if __name__ == "__main__":
    run(main)
