"""Stage audit_images: copies, look-alikes, contradicting labels, and how much each way of splitting would leak.

Reads data/ingested.csv, data/unreadable.csv. Writes data/manifest.csv (with groups), metrics/audit.json.
Stops the run on identical images under two labels, unless images.allow_label_conflicts leaves them out.
Run: dvc repro audit_images.
"""

from pathlib import Path

from btlib.artifacts import read_csv, write_csv, write_json
from btlib.data.audit import group_numbers, label_conflicts, leaks_by_split, summary, without_conflicts
from btlib.data.manifest import read_manifest
from btlib.params import load_params
from btlib.stage import run


def main(ingested: Path, unreadable: Path, manifest: Path, metrics: Path) -> None:
    """Reads the two tables of ingest_images; writes the manifest and the audit."""
    p = load_params("seed", "split_by", "images.near_duplicate_distance", "images.allow_label_conflicts")
    distance = p.images.near_duplicate_distance
    found = read_manifest(ingested)
    kept = without_conflicts(found, p.images.allow_label_conflicts)
    kept.insert(kept.columns.get_loc("patient") + 1, "group", group_numbers(kept, distance))
    leaks = leaks_by_split(kept, p.split_by, p.seed, distance)
    audit = summary(kept, distance) | {
        "unreadable": len(read_csv(unreadable, text=("fault",))),
        "label_conflicts": int(label_conflicts(found).sum()),
        "test_near_duplicates_in_train": leaks[False][p.split_by],
        "test_near_duplicates_in_train_by_split": leaks[False],
        "test_near_duplicates_in_train_any_orientation": leaks[True][p.split_by],
        "test_near_duplicates_in_train_any_orientation_by_split": leaks[True],
    }
    write_csv(manifest, kept.drop(columns="phash_turned"))
    write_json(metrics, audit)
    print(f"{audit['images']} images in {audit['groups']} groups; test images with a near copy in train: {leaks[True]}")


if __name__ == "__main__":
    run(main)
