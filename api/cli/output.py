"""Printing: tables and fields for a person at a terminal, plain aligned text for a pipe, JSON for a program."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from api.cli import text

if TYPE_CHECKING:
    from rich.console import Console

GAP = "  "
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
    """One column; `coloured` gives words like `up` their colour, `wraps` lets a narrow screen break the cells."""

    title: str
    right: bool = False
    coloured: bool = False
    wraps: bool = False


def is_screen() -> bool:
    """Whether a person looks on."""
    return sys.stdout.isatty()


def is_decorated() -> bool:
    """Whether a person looks on who did not ask for plain text (https://no-color.org)."""
    return is_screen() and not os.environ.get("NO_COLOR")


def console(*, stderr: bool = False) -> "Console":
    """Return rich's console, loaded only when there is a terminal to print on."""
    from rich.console import Console  # noqa: PLC0415  (0.1 s that a pipe need not wait for)

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


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
    elif is_decorated():
        _rich_table(columns, rows)
    else:
        for line in aligned(columns, rows):
            say(line)


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Print one record, a field a line."""
    pairs = list(pairs)
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        say(f"{name:<{width}}{GAP}{value}")


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


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show a spinner on stderr while the block runs, if a person looks on."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.text import Text  # noqa: PLC0415  (only a terminal needs it)

    with console(stderr=True).status(Text(what)):
        yield


def _rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table  # noqa: PLC0415  (only a terminal needs it)
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        drawn.add_column(
            column.title,
            justify="right" if column.right else "left",
            overflow="fold" if column.wraps else "ellipsis",
            no_wrap=not column.wraps,
        )
    for row in rows:
        drawn.add_row(
            *(
                Text(cell, style=COLOURS.get(cell, "") if column.coloured else "")
                for cell, column in zip(row, columns, strict=True)
            )
        )
    console().print(drawn)
