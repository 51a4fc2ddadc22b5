"""Tables on a screen: coloured, and on a narrow one without their spare columns, so that the others stay readable."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from api.cli.screen import terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; `coloured` gives words like `up` their colour, `wraps` lets a narrow screen break the cells.

    One with `spare` above 0 is left out where the screen is too narrow for all, the highest first.
    """

    title: str
    right: bool = False
    coloured: bool = False
    wraps: bool = False
    spare: int = 0


GAP = 2
# So narrow a cell that wraps may become, before a spare column has to go.
LEAST_CELL = 24
COLOURS = {
    "up": "green",
    "degraded": "yellow",
    "down": "red",
    "unknown": "dim",
    "disabled": "yellow",
    "removed": "dim",
    "expired": "yellow",
    "revoked": "dim",
}


def show(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of clean text on the terminal."""
    console = terminal.console()
    least = [_least(column, [row[index] for row in rows]) for index, column in enumerate(columns)]
    kept = fitting(columns, least, screen=console.width)
    fits = _sum(least, kept) <= console.width
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for index in kept:
        column = columns[index]
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            overflow="fold" if column.wraps else "ellipsis",
            no_wrap=not column.wraps,
            min_width=least[index] if column.wraps and fits else None,
        )
    for row in rows:
        table.add_row(*(_cell(columns[index], row[index]) for index in kept))
    console.print(table)


def fitting(columns: Sequence[Column], least: Sequence[int], *, screen: int) -> list[int]:
    """Return the indexes of the columns to show; `least` is the width that each needs."""
    kept = list(range(len(columns)))
    for index in sorted(kept, key=lambda each: columns[each].spare, reverse=True):
        if columns[index].spare == 0 or _sum(least, kept) <= screen:
            break
        kept.remove(index)
    return kept


def _sum(least: Sequence[int], kept: Sequence[int]) -> int:
    return sum(least[index] + GAP for index in kept) - GAP


def _least(column: Column, cells: Sequence[str]) -> int:
    widest = max(map(len, (column.title, *cells)))
    return min(widest, LEAST_CELL) if column.wraps else widest


def _cell(column: Column, cell: str) -> Text:
    return Text(cell, style=COLOURS.get(cell, "") if column.coloured else "")
