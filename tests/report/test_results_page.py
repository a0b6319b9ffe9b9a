"""docs/results.md: its tables match docs/runs/, and its ladder has the same numbers."""

import json
import re
from pathlib import Path

import pytest

from btlib.core.runtime.errors import InputError
from btlib.report.blocks import Table
from btlib.report.markdown import table_markdown
from btlib.report.results_page import MARK, rendered, write_results
from btlib.report.study import read_folder

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/results.md"


def test_the_tables_are_rendered_from_the_recorded_runs():
    text = PAGE.read_text(encoding="utf-8")
    runs = list(read_folder(ROOT / "docs/runs").values())
    assert rendered(text, runs, "page") == text, "run `btlib results`"
    assert all(run["title"] in text.partition(MARK)[2] for run in runs)


def test_the_findings_are_short_and_their_ladder_matches_the_runs():
    findings = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    assert len(findings.splitlines()) <= 150
    rungs = re.findall(r"\*{0,2}([\d.]+) % \[([\d.]+), ([\d.]+)\]\*{0,2} \| \[\w+\]\((runs/\w+\.json)\)", findings)
    assert len(rungs) == 3
    for accuracy, low, high, path in rungs:
        run = json.loads((ROOT / "docs" / path).read_text(encoding="utf-8"))
        assert f"{100 * run['scores']['accuracy']:.2f}" == accuracy
        assert [f"{100 * end:.2f}" for end in run["ci95"]["accuracy"]] == [low, high]


def test_a_table_as_markdown():
    table = Table("Title", ("a", "b"), [("1|2", "x\ny"), ("3", "")], note="A note.", marked=frozenset({1}))
    assert table_markdown(table) == (
        "## Title\n\n| a | b |\n| --- | --- |\n| 1\\|2 | x<br>y |\n| **3** |  |\n\nA note.\n"
    )


def test_findings_are_kept_and_a_page_without_the_mark_is_refused(tmp_path):
    page, runs = tmp_path / "page.md", tmp_path / "runs"
    runs.mkdir()
    page.write_text(f"# Mine\n\n{MARK}\nold\n", encoding="utf-8")
    write_results(page, runs)
    assert page.read_text(encoding="utf-8") == f"# Mine\n\n{MARK}\n\n"
    page.write_text("# Mine\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"page\.md: the line '<!-- What follows .* is missing; put it where"):
        write_results(page, runs)
