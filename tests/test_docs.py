"""Links in the documents have targets, and the code that they name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())


@each_page
def test_links_point_to_files(page):
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@each_page
def test_named_code_exists(page):
    """Checks `btlib/x.py`, `stages/x.py` and `tests/x.py` anywhere in the text."""
    if page.name == "CHANGELOG.md":
        return
    named = set(
        re.findall(r"\b(?:btlib|stages|tests|profiles)/[\w/]+\.(?:py|yaml)\b", page.read_text(encoding="utf-8"))
    )
    assert sorted(path for path in named if not (ROOT / path).is_file()) == []
