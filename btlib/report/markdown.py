"""Blocks as Markdown: the page without its pictures, for a README, a paper's supplement or a comment on GitHub."""

from collections.abc import Sequence
from dataclasses import replace

from btlib.report.blocks import Block, Bullets, Figures, Heading, Numbers, Section, Table, Text
from btlib.report.figures.numbers import GLUE


def page_markdown(sections: Sequence[Section], badge: str) -> str:
    """Every section with its text and tables, and the captions of its figures.

    Args:
        badge: label of the data, shown at the top; '' for real data.
    """
    head = "# Report\n" + (f"\n**{badge}**\n" if badge else "") + "\nThe figures are in report.html.\n"
    return "\n".join([head, *map(section_markdown, sections)])


def section_markdown(section: Section) -> str:
    label = f" ({section.badge})" if section.badge else ""
    return "\n".join([f"## {section.title}{label}\n", *map(block_markdown, section.blocks)])


def block_markdown(block: Block) -> str:
    """One block, ending in a line break."""
    match block:
        case Heading(text):
            return f"### {text}\n"
        case Text(text):
            return f"{text}\n"
        case Bullets(items, title):
            return (f"{title}:\n\n" if title else "") + "".join(f"- {item}\n" for item in items)
        case Numbers(items):
            lines = [f"{n.title}: {n.value} {n.interval}" + (f" ({n.beside})" if n.beside else "") for n in items]
            return "".join(f"- {line}\n" for line in lines)
        case Table():
            label = f" ({block.badge})" if block.badge else ""
            return table_markdown(replace(block, caption=block.caption + label), level=4)
        case Figures(items):
            return "".join(f"- Figure: {figure.caption}\n" for figure in items)


def table_markdown(table: Table, level: int = 2) -> str:
    """A heading, the table and its note; marked rows are bold."""
    lines = [[*table.columns], ["---"] * len(table.columns), *map(list, table.rows)]
    for number in table.marked:
        lines[number + 2] = [f"**{cell}**" if cell else "" for cell in lines[number + 2]]
    cells = "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)
    return f"{'#' * level} {table.caption}\n\n{cells}" + (f"\n{table.note}\n" if table.note else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>").replace(GLUE, " ")
