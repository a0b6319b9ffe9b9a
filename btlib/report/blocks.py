"""Building blocks of a section, without HTML: the templates decide how each kind looks.

All text is plain text and is escaped when rendered. Line breaks within a table cell are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from btlib.report.pictures import Picture


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph; a notice is highlighted."""

    kind: ClassVar[str] = "text"
    text: str
    notice: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list; with a title, it is folded until the title is clicked."""

    kind: ClassVar[str] = "bullets"
    items: Sequence[str]
    title: str = ""


@dataclass(frozen=True)
class Number:
    """One headline number.

    Attributes:
        beside: a comparison, such as 'paper 95.73 %, difference −1.2'.
    """

    title: str
    value: str
    interval: str
    beside: str = ""


@dataclass(frozen=True)
class Numbers:
    """Headline numbers side by side."""

    kind: ClassVar[str] = "numbers"
    items: Sequence[Number]
    badge: str | None = None


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows.

    Attributes:
        marked: numbers of the highlighted rows.
        folded: hidden until the caption is clicked.
        words: the cells hold mostly text.
        badge: label of its data, such as 'phantom data'; None: the section's badge.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    marked: frozenset[int] = frozenset()
    folded: bool = False
    words: bool = False
    badge: str | None = None


@dataclass(frozen=True)
class Figure:
    """A picture with a caption and alternative text."""

    picture: Picture
    caption: str
    alt: str


@dataclass(frozen=True)
class Figures:
    """Figures in up to `columns` columns, as space allows."""

    kind: ClassVar[str] = "figures"
    items: Sequence[Figure]
    columns: int = 1
    badge: str | None = None


Block = Heading | Text | Bullets | Numbers | Table | Figures


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: its anchor.
        badge: label of its data, shown on each table and figure; '' for real data.
    """

    name: str
    title: str
    blocks: Sequence[Block]
    badge: str = ""
