"""docs/results.md: hand-written findings, then the tables of the recorded runs, rendered from docs/runs/."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.errors import InputError
from btlib.report.blocks import Table
from btlib.report.figures.paper import HEADLINE
from btlib.report.markdown import table_markdown
from btlib.report.sections.recorded import recorded_blocks
from btlib.report.study import read_folder

MARK = "<!-- What follows is rendered from docs/runs/ by `btlib results`; edit above this line only. -->"


def write_results(page: Path = Path("docs/results.md"), runs: Path = Path("docs/runs")) -> None:
    """Renders the tables again and keeps the findings above the mark.

    Raises:
        InputError: the page is missing or has no mark.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    with_tables = rendered(text, list(read_folder(runs).values()), str(page))
    with atomic_path(page) as temporary:
        temporary.write_text(with_tables, encoding="utf-8")


def rendered(text: str, runs: Sequence[Mapping], origin: str) -> str:
    """The page with the tables of these runs below its mark; errors name the page as `origin`."""
    findings, mark, _ = text.partition(MARK)
    if not mark:
        raise InputError(f"{origin}: the line '{MARK}' is missing; put it where the tables should begin")
    tables = [table_markdown(block) for block in recorded_blocks(runs, HEADLINE) if isinstance(block, Table)]
    return f"{findings}{MARK}\n\n" + "\n".join(tables)
