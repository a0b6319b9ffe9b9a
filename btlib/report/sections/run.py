"""The run: code, data, environment, time and every parameter."""

from typing import Any

from btlib.report.blocks import Section, Table
from btlib.report.figures.numbers import NOTHING, SHARE
from btlib.report.study import Study


def run_section(study: Study) -> Section:
    blocks = [
        Table("The run", ("what", "value"), list(study.facts.items()), note=HASHES, words=True),
        _environment(study),
        _times(study),
        Table(
            "Every parameter (params.yaml)",
            ("key", "value"),
            [(key, written(value)) for key, value in study.params.items()],
            folded=True,
            words=True,
        ),
    ]
    return Section("run", "What was run", blocks, study.badge)


HASHES = (
    "The images' manifest holds the SHA-256 of every file, so that its own hash identifies the data; the volumes' "
    "manifest holds names, grades, shapes and spacings. The revision is that of the working tree when this page was "
    "made."
)


def written(value: Any) -> str:
    """A parameter for readers: lists with commas, None as a dash, small rates as 1e-05."""
    if value is None or value == []:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(written(item) for item in value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(item)}" for key, item in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _environment(study: Study) -> Table:
    environments = {name: card["environment"] for name, card in study.cards.items()}
    packages = sorted(set().union(*environments.values()))
    rows = [(package, *(found.get(package, NOTHING) for found in environments.values())) for package in packages]
    return Table("Training environment", ("package", *environments), rows, words=True)


def _times(study: Study) -> Table:
    total = sum(record["seconds"] for record in study.timings.values())
    rows = [
        (stage, f"{record['seconds']:,.1f}", SHARE.said(record["seconds"] / total), f"{record['peak_gib']:.1f}")
        for stage, record in study.timings.items()
    ]
    note = "Each stage's last run on this machine, the longest first; cached stages are not listed."
    caption = f"Time of each stage: {total:,.0f} s over {len(rows)} stages"
    return Table(caption, ("stage", "seconds", "share", "peak memory, GiB"), rows, note, folded=True)
