"""Stage audit_images: finds copies, near copies and contradicting labels, and what each way of splitting would leak.

Reads data/ingested.csv, data/unreadable.csv, data/links.csv, data/linked_masks.npz and, for split_by: file, the table
below images.root.
Writes data/manifest.csv, with groups and with the patients and masks of the links, and metrics/audit.json.
Images under two labels stop the run, unless images.allow_label_conflicts leaves them out.
Takes less than 1 s in the demo on 2 cores. Run: dvc repro audit_images.
"""

from pathlib import Path

from btlib.core.runtime.artifacts import read_csv, write_csv, write_json
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.images.data.audit import (
    group_numbers,
    in_use,
    label_conflicts,
    leaks_by_split,
    summary,
    with_links,
    without_conflicts,
)
from btlib.images.data.links import read_links
from btlib.images.data.manifest import COLUMNS, read_manifest
from btlib.images.data.masks import mask_names
from btlib.images.data.own_splits import own_split


def main(ingested: Path, unreadable: Path, links: Path, masks: Path, root: Path, manifest: Path, metrics: Path) -> None:
    p = load_params(
        "seed",
        "split_by",
        "split",
        "images.near_duplicate_distance",
        "images.allow_label_conflicts",
        "images.reference.same_patient",
    )
    distance = p.images.near_duplicate_distance
    found = with_links(read_manifest(ingested), read_links(links), mask_names(masks), p.images.reference.same_patient)
    kept = without_conflicts(found, p.images.allow_label_conflicts)
    kept["group"] = group_numbers(kept, distance)
    own = own_split(root, p.split.file, kept)
    leaks = leaks_by_split(kept, p.split_by, p.seed, distance, p.split, own)
    audit = summary(kept, distance) | {
        "unreadable": len(read_csv(unreadable, text=("fault",))),
        "label_conflicts": int(label_conflicts(found).sum()),
        "linked_images": int((found["slice"] != "").sum()),
        "leaks_by_split": leaks,
        **in_use(leaks, p.split_by),
    }
    write_csv(manifest, kept[list(COLUMNS)])
    write_json(metrics, audit)
    print(f"{audit['images']} images in {audit['groups']} groups; test images that leak: {leaks}")


if __name__ == "__main__":
    run(main)
