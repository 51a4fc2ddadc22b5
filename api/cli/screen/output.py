"""Printing: tables and fields for a person at a terminal, plain aligned text for a pipe, JSON for a program."""

import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import click
from rich.text import Text

from api.cli.screen import table as screen_table
from api.cli.screen import terminal, text
from api.cli.screen.table import Column

GAP = "  "
# Longer lines are hard to read, however wide the screen.
MOST_COLUMNS = 120
LEAST_COLUMNS = 40


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
        screen_table.show(columns, rows)
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
