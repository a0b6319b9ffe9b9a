"""What a section consists of, without any HTML: the templates decide how each kind of block looks.

All text is plain text and is escaped when rendered. A line break within a table's cell is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from btlib.report.pictures import Picture


@dataclass(frozen=True)
class Heading:
    """A title within a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph; a notice stands out."""

    kind: ClassVar[str] = "text"
    text: str
    notice: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list; with a title it is folded until that is clicked."""

    kind: ClassVar[str] = "bullets"
    items: Sequence[str]
    title: str = ""


@dataclass(frozen=True)
class Number:
    """One headline number.

    Attributes:
        beside: what it is to be compared with, such as 'paper 95.73 %, difference −1.2'.
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
        marked: numbers of the rows that stand out.
        folded: shown when its caption is clicked.
        words: the cells hold words more than numbers.
        badge: what its data are, such as 'phantom data'; None: as the section says.
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
    """A picture with its caption; alt says what it shows to those who cannot see it."""

    picture: Picture
    caption: str
    alt: str


@dataclass(frozen=True)
class Figures:
    """Figures, so many beside each other where there is room."""

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
        badge: what its data are, on each table and figure; '' for real data.
    """

    name: str
    title: str
    blocks: Sequence[Block]
    badge: str = ""
