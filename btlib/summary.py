"""What `make repro` ends with: where the results are, the headline numbers, the time of each stage."""

from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

from btlib.artifacts import read_json
from btlib.schema import read_params
from btlib.stage import TIMINGS

SCORES = {"accuracy": "accuracy", "macro_f1": "macro F1", "roc_auc_macro": "macro AUC", "ece": "ECE"}
JOINT_SCORES = {
    "dice_wt": "Dice, whole tumour",
    "dice_tc": "Dice, core",
    "dice_et": "Dice, enhancing",
    "grade_accuracy": "grade accuracy",
    "grade_auc": "grade AUC",
}
PLACES = {
    "report.html": "everything on one page, beside the papers' numbers",
    "metrics/": "every number, as JSON (dvc metrics show)",
    "data/figures/": "every figure, as PNG",
    "data/predictions/": "the probabilities of each validation and test image",
    "data/joint/": "the same of each volume, with masks and maps as NIfTI on its own grid",
    "data/ablations/": "the same of every arm of the ablation tables, by seed",
    "models/": "the trained networks, as safetensors with a card",
}


def headline(scores: Mapping) -> list[str]:
    """One line per score, with its 95 % interval."""
    lines = [
        f"{title:<10} {scores[key]:.4f}  [{scores['ci95'][key][0]:.4f}, {scores['ci95'][key][1]:.4f}]"
        for key, title in SCORES.items()
    ]
    return [*lines, f"on {scores['n_test']} test images, {scores['errors']} of them wrong; intervals: 95 %"]


def joint_headline(scores: Mapping) -> list[str]:
    """One line per score of the 3D study, with its 95 % interval; what the network lacks is left out."""
    lines = [
        f"{title:<19} {scores[key]:.4f}  [{scores['ci95'][key][0]:.4f}, {scores['ci95'][key][1]:.4f}]"
        for key, title in JOINT_SCORES.items()
        if scores[key] is not None
    ]
    return [*lines, f"on {scores['n_test']} test cases; intervals: 95 %"]


def contamination(audit: Mapping) -> list[str]:
    """Share of test images with a near copy in train, mirrored and turned ones included, for each way of splitting."""
    shares = audit["test_near_duplicates_in_train_any_orientation_by_split"]
    return [
        f"split by {kind:<6} " + ("not possible here" if share is None else f"{share:.1%}")
        for kind, share in sorted(shares.items())
    ]


def times(stages: list[str], folder: Path = TIMINGS) -> list[str]:
    """Seconds and peak memory of each stage's last run on this machine, and their sum."""
    lines, total = [], 0.0
    for stage in stages:
        record = read_json(folder / f"{stage}.json") if (folder / f"{stage}.json").is_file() else None
        if record is None:
            lines.append(f"{stage:<24} not run here (taken from the cache)")
            continue
        total += record["seconds"]
        lines.append(f"{stage:<24} {record['seconds']:7.1f} s   peak {record['peak_gib']:.1f} GiB")
    return [*lines, f"{'all':<24} {total:7.1f} s"]


def stage_names(pipeline: Path = Path("dvc.yaml")) -> list[str]:
    """Names of all stages in the pipeline's order; a `foreach` stage counts once per item, as `name@item`."""
    stages = YAML(typ="safe", pure=True).load(pipeline)["stages"]
    return [
        f"{name}@{item}" if item else name for name, stage in stages.items() for item in stage.get("foreach", [None])
    ]


def block(title: str, lines: list[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)])


def main() -> None:
    p = read_params()
    images, volumes = (
        f"phantom {what} (a demo: says nothing about patients)" if part.source == "phantom" else part.root
        for what, part in (("images", p.images), ("volumes", p.volumes))
    )
    blocks = [
        block(
            f"Test scores on {images}, split by {p.split_by}", headline(read_json(Path("metrics/classification.json")))
        ),
        block(f"Test scores on {volumes}", joint_headline(read_json(Path("metrics/joint3d.json")))),
        block("Test images with a near copy in train", contamination(read_json(Path("metrics/audit.json")))),
        block("Time of each stage's last run here", times(stage_names())),
        block("Results", [f"{place:<18} {what}" for place, what in PLACES.items()]),
        "Research software, not a medical device.",
    ]
    print("\n" + "\n\n".join(blocks))


if __name__ == "__main__":
    main()
