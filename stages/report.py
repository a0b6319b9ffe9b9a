"""Stage report: everything of this run on one page beside the papers' numbers, with a model card.

Reads params.yaml, metrics/, data/tables/, data/figures/, the manifests and splits, pictures of robustness and
shortcuts, the trained networks' cards, docs/runs/ (recorded runs on real images), CITATION.cff. Writes report.html,
which needs no other file and no network. Run: dvc repro report.
"""

from datetime import UTC, datetime
from pathlib import Path

from btlib.core.runtime.artifacts import read_csv, read_json
from btlib.core.runtime.nested import flatten
from btlib.core.runtime.stage import TIMINGS, run
from btlib.core.settings.params import data_note
from btlib.core.settings.schema import read_params, read_yaml
from btlib.report.figures.paper import HEADLINE, TABLES
from btlib.report.page import write_page
from btlib.report.provenance import revision, sha256, timings
from btlib.report.study import Study, read_folder, read_tables

VOLUME_TEXT = ("case", "patient", "grade", "seg", "shape", "spacing")


def main(
    params: Path,
    metrics: Path,
    tables: Path,
    figures: Path,
    corruptions: Path,
    lesions: Path,
    manifest: Path,
    splits: Path,
    volumes: Path,
    volume_splits: Path,
    classifier: Path,
    joint: Path,
    runs: Path,
    citation: Path,
    out: Path,
) -> None:
    p = read_params(params)
    hashed = {
        "images": manifest,
        "split of the images": splits,
        "volumes": volumes,
        "split of the volumes": volume_splits,
    }
    facts = {
        "made on": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "command": "dvc repro",
        "code revision": revision(Path.cwd()),
        "source of the images": p.images.source,
        "source of the volumes": p.volumes.source,
        "split by": p.split_by,
        "seed": str(p.seed),
        **{f"SHA-256, {name}": sha256(path) for name, path in hashed.items()},
    }
    study = Study(
        params=flatten(p),
        metrics=read_folder(metrics) | read_tables(tables),
        notes={"images": data_note(p.images.source), "volumes": data_note(p.volumes.source)},
        paper={"headline": HEADLINE, "tables": TABLES},
        volumes=read_csv(volumes, text=VOLUME_TEXT),
        pictures={
            **{name: figures / name for name in ("preprocess", "train", "evaluate", "gradcam", "ablations")},
            **{name: figures / name for name in ("robustness", "shortcuts", "link", "cross_validation", "external")},
            **{f"joint_{name}": figures / "joint" / name for name in ("evaluate", "explain")},
            "joint_ablation": figures / "ablations/joint",
            "corruptions": corruptions,
            "lesions": lesions,
        },
        cards={"classifier": read_json(classifier), "joint network": read_json(joint)},
        recorded=list(read_folder(runs).values()),
        facts=facts,
        # Not a dependency: a stage that came from the cache leaves no time here, and times alone change no result.
        timings={stage: record for stage, record in timings(TIMINGS).items() if stage != "report"},
        citation=read_yaml(citation),
    )
    write_page(out, study)


if __name__ == "__main__":
    run(main)
