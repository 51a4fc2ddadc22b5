"""Printing: tables and fields for a person at a terminal, plain aligned text for a pipe, JSON for a program.

A table on a screen is coloured, and on a narrow one without its spare columns, so that the others stay readable.
"""

import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click
from rich.table import Table
from rich.text import Text

from api.cli.screen import terminal, text

GAP = "  "
# Longer lines are hard to read, however wide the screen.
MOST_COLUMNS = 120
LEAST_COLUMNS = 40
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


def say(line: str = "") -> None:
    """Print one line of ours."""
    click.echo(line)


def note(line: str) -> None:
    """Print one line that is no result, to stderr."""
    click.echo(line, err=True)


def as_json(document: object) -> None:
    """Print one JSON document."""
    say(text.to_json(document))


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print rows of clean text, or on stderr what to do about there being none."""
    rows = list(rows)
    if not rows:
        note(empty)
    elif terminal.is_decorated():
        _show(columns, rows)
    else:
        for line in aligned(columns, rows):
            say(line)


def aligned(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield lines with every cell in full, each column as wide as its widest cell."""
    lines = [[column.title for column in columns], *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = [
            f"{cell:>{width}}" if column.right else f"{cell:<{width}}"
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        yield GAP.join(cells).rstrip()


def _show(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of clean text on the terminal."""
    console = terminal.console()
    least = [_least(column, [row[index] for row in rows]) for index, column in enumerate(columns)]
    kept = fitting(columns, least, screen=console.width)
    fits = _sum(least, kept) <= console.width
    table = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style="bold")
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
    return sum(least[index] + len(GAP) for index in kept) - len(GAP)


def _least(column: Column, cells: Sequence[str]) -> int:
    widest = max(map(len, (column.title, *cells)))
    return min(widest, LEAST_CELL) if column.wraps else widest


def _cell(column: Column, cell: str) -> Text:
    return Text(cell, style=COLOURS.get(cell, "") if column.coloured else "")


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Print one record, a field a line."""
    pairs = list(pairs)
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        say(f"{name:<{width}}{GAP}{value}")


def paragraph(title: str, words: str) -> list[str]:
    """Return the words behind their title: on a screen broken at its edge and indented, else in one line."""
    clean = text.printable(words)
    if not terminal.is_screen():
        return [title + clean]
    return textwrap.wrap(
        clean,
        width=min(max(terminal.width(), LEAST_COLUMNS), MOST_COLUMNS),
        initial_indent=title,
        subsequent_indent=" " * len(title),
        break_long_words=False,
        break_on_hyphens=False,
    )


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show a spinner on stderr while the block runs, if a person looks on."""
    if not sys.stderr.isatty():
        yield
        return
    with terminal.console(stderr=True).status(Text(what)):
        yield
