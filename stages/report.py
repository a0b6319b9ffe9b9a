"""Stage report: puts all results of this run on one page, beside the papers' numbers and with a model card.

Reads params.yaml, metrics/, data/tables/, data/figures/, the manifests and splits, the example pictures of
data/robustness/ and data/shortcuts/, the trained networks' cards, docs/runs/ (recorded runs on real images) and
CITATION.cff.
Writes report.html, which needs no other file and no network, and report.md, its words and tables.
Takes about 4 s in the demo on 2 cores. Run: dvc repro report.
"""

from pathlib import Path

from btlib.core.runtime.stage import run
from btlib.core.settings.schema import read_params
from btlib.report.page import write_page
from btlib.report.reading import Places, read_study


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
    html: Path,
    markdown: Path,
) -> None:
    outputs = (metrics, tables, figures, corruptions, lesions, manifest, splits, volumes, volume_splits)
    write_page(html, markdown, read_study(read_params(params), Places(*outputs, classifier, joint, runs, citation)))


if __name__ == "__main__":
    run(main)
