"""The data behind the page: the outputs of all stages, read once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from btlib.core.metrics.score_table import read_scores
from btlib.core.runtime.artifacts import read_json
from btlib.core.runtime.errors import InputError
from btlib.report.blocks import Block, Figure, Figures
from btlib.report.pictures import embedded


@dataclass(frozen=True)
class Study:
    """A run of the pipeline, and the results that it is compared with.

    Attributes:
        params: dotted key of params.yaml -> value.
        metrics: name of a file in metrics/ or data/tables/ -> its scores.
        notes: `images` and `volumes` -> label of their data, '' for real data.
        paper: the paper's `headline` (score -> value) and `tables` (table -> arm -> score -> value, or None).
        volumes: the manifest of the volumes.
        pictures: name -> a folder of figures or one figure.
        cards: name -> card of a trained network.
        recorded: other runs, as in docs/runs/.
        facts: name -> value, of what was run.
        timings: stage -> seconds and peak_gib.
        citation: CITATION.cff.
    """

    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    notes: Mapping[str, str]
    paper: Mapping[str, Any]
    volumes: pd.DataFrame
    pictures: Mapping[str, Path]
    cards: Mapping[str, Mapping[str, Any]]
    recorded: Sequence[Mapping[str, Any]]
    facts: Mapping[str, str]
    timings: Mapping[str, Mapping[str, Any]]
    citation: Mapping[str, Any]

    @property
    def badge(self) -> str:
        """Label of the data of both studies: 'phantom data: images and volumes', or '' for real data."""
        parts = [part for part, note in self.notes.items() if note]
        return f"{self.notes[parts[0]]}: {' and '.join(parts)}" if parts else ""

    def scores(self, name: str) -> Any:
        """The content of metrics/<name>.json. Raises InputError if it is missing."""
        if name not in self.metrics:
            raise InputError(f"metrics/{name}.json: no such file; run `dvc repro` to make it")
        return self.metrics[name]

    def figures(self, place: str, captions: Mapping[str, tuple[str, str]], columns: int = 1) -> list[Block]:
        """One block with the figures that exist, or no block; a run makes only the figures that apply to it.

        Args:
            place: a name in `pictures`.
            captions: file below it ('' for itself) -> caption and alternative text.
        """
        found = ((self.pictures[place] / name, texts) for name, texts in captions.items())
        figures = [Figure(embedded(path), *texts) for path, texts in found if path.is_file()]
        return [Figures(figures, columns)] if figures else []


def read_folder(folder: Path) -> dict[str, Any]:
    """Every JSON file of a folder, by name."""
    return {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}


def read_tables(folder: Path) -> dict[str, Any]:
    """The scores of every table of a folder, by name."""
    return {path.stem: read_scores(path) for path in sorted(folder.glob("*.csv"))}
