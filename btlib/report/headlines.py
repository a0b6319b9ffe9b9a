"""The final output of `make repro`: headline numbers, the time of each stage, and where the results are."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

from btlib.core.metrics import classification
from btlib.core.metrics.metric import Metric, Shown, names
from btlib.core.runtime.artifacts import read_json
from btlib.core.runtime.stage import TIMINGS
from btlib.core.settings.schema import read_params
from btlib.images.data.separation import KINDS, separation
from btlib.images.evaluation import external
from btlib.volumes.evaluation import metrics as joint

EXTERNAL_SHOWN = {name: external.METRICS[name].label for name in external.TUMOR_OR_NONE}
PLACES = {
    "report.html": "everything on one page, beside the papers' numbers",
    "metrics/": "the headline numbers, as JSON (dvc metrics show)",
    "data/tables/": "every other number, as CSV",
    "data/figures/": "every figure, as PNG",
    "data/predictions/": "the probabilities of each validation and test image",
    "data/joint/": "the same for each volume, with masks and maps as NIfTI on its own grid",
    "data/ablations/": "the same for every arm of the ablation tables, by seed",
    "models/": "the trained networks, as safetensors with a card",
}


def headline(scores: Mapping, metrics: Mapping[str, Metric], tested: str) -> list[str]:
    """One line per metric that is shown everywhere, with its 95 % interval; undefined ones are omitted.

    Args:
        metrics: the registry of the scores.
        tested: the test set in words, for the last line.
    """
    lines = [
        f"{metrics[name].label:<19} {scores[name]:.4f}  [{scores['ci95'][name][0]:.4f}, {scores['ci95'][name][1]:.4f}]"
        for name in names(metrics.values(), Shown.EVERYWHERE)
        if scores[name] is not None
    ]
    return [*lines, f"{tested}; intervals: 95 %"]


def leaks(audit: Mapping) -> list[str]:
    """For each way of splitting, the shares of test images that have a near copy or their patient in train."""
    lines = []
    for kind, found in audit["leaks_by_split"].items():
        if found is None:
            lines += [] if kind == "file" else [f"{KINDS[kind]}: not possible here"]
            continue
        test = found["test"]
        patients = (
            f"their patient {found['same_patient'] / test:.1%} (patient known: {found['known_patient'] / test:.1%})"
            if found["known_patient"]
            else "patients unknown"
        )
        lines.append(f"{KINDS[kind]}: a near copy {found['near_copy_any_orientation'] / test:.1%}, {patients}")
    return lines


def folds(found: Mapping) -> list[str]:
    """The pooled accuracy of a cross-validation, and that of known patients; nothing without folds."""
    if not found["folds"]:
        return []
    parts = {"all images": found["pooled"], "known patients": found["known_patients"]}
    return [
        f"accuracy, {name:<15} {part['accuracy']:.4f}  [{part['ci95']['accuracy'][0]:.4f}, "
        f"{part['ci95']['accuracy'][1]:.4f}]"
        for name, part in parts.items()
        if part
    ]


def external_set(scores: Mapping) -> list[str]:
    """One line per score of a set from another hospital, with its 95 % interval or the reason that it is undefined."""
    lines = []
    for key, title in EXTERNAL_SHOWN.items():
        value, ends = scores[key], scores["ci95"][key]
        if value is None:
            lines.append(f"{title:<19} undefined: {scores['undefined'][key]}")
        else:
            lines.append(f"{title:<19} {value:.4f}" + (f"  [{ends[0]:.4f}, {ends[1]:.4f}]" if ends else ""))
    return [*lines, f"on {scores['n']} images of {scores['patients'] or 'unknown'} patients; intervals: 95 %"]


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
    """Names of all stages in the pipeline's order; a `foreach` stage counts once per item, as `name@item`.

    Items that are sections are named by their number, as DVC does; the list may be in params.yaml.
    """
    stages = YAML(typ="safe", pure=True).load(pipeline)["stages"]
    names = []
    for name, stage in stages.items():
        items = stage.get("foreach")
        if isinstance(items, str):  # ${key}
            items = YAML(typ="safe", pure=True).load(pipeline.with_name("params.yaml"))[items.strip("${}")]
        if items is None:
            names.append(name)
        else:
            names += [f"{name}@{number if isinstance(item, dict) else item}" for number, item in enumerate(items)]
    return names


def changes() -> list[str]:
    """The tracked files that the run changed, and how to keep them; empty without git or changes."""
    tracked = ("params.yaml", "dvc.lock", "metrics")
    command = ["git", "status", "--porcelain", "--", *tracked]
    try:
        said = subprocess.run(command, capture_output=True, text=True).stdout
    except OSError:  # no git
        return []
    paths = [line[3:] for line in said.splitlines()]
    if not paths:
        return []
    shown = f"{', '.join(paths[:3])} and {len(paths) - 3} more" if len(paths) > 4 else ", ".join(paths)
    return [
        f"{shown}: your results, in place of the project's",
        f'to keep them: git add {" ".join(tracked)} && git commit -m "My run"',
    ]


def block(title: str, lines: list[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)])


def print_summary() -> None:
    """Prints the summary of the run in the current folder."""
    p = read_params()
    images, volumes = (
        f"phantom {what} (a demo: says nothing about patients)" if part.source == "phantom" else part.root
        for what, part in (("images", p.images), ("volumes", p.volumes))
    )
    audit, found = (read_json(Path(f"metrics/{name}.json")) for name in ("audit", "classification"))
    pooled = folds(read_json(Path("metrics/cross_validation.json")))
    sets = read_json(Path("metrics/external.json"))["sets"]
    graded = read_json(Path("metrics/joint3d.json"))
    changed = changes()
    blocks = [
        block(
            f"Test scores on {images}, split by {p.split_by} ({separation(audit, p.split_by)})",
            headline(
                found, classification.METRICS, f"on {found['n_test']} test images, {found['errors']} of them wrong"
            ),
        ),
        *([block(f"All {p.split.folds} folds pooled", pooled)] if pooled else []),
        *(block(f"Other hospitals: {name}", external_set(scores)) for name, scores in sets.items()),
        block(
            f"Test scores on {volumes}",
            headline(graded, joint.METRICS, f"on {graded['n_test']} test cases"),
        ),
        block("Test images with a near copy or their patient in train, by way of splitting", leaks(audit)),
        block("Time of each stage's last run here", times(stage_names())),
        block("Results", [f"{place:<18} {what}" for place, what in PLACES.items()]),
        *([block("Changed in git", changed)] if changed else []),
        "Research software, not a medical device.",
    ]
    print("\n" + "\n\n".join(blocks))
