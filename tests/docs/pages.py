"""Reading the operators' pages as data, so that a test can compare them with the program."""

import re
import subprocess
import sys

from tests.deploy.checkout import ROOT

DOCS = ROOT / "deploy" / "docs"
CODE = re.compile(r"`([^`]+)`")


def text(name: str) -> str:
    """Return a page."""
    return (DOCS / name).read_text()


def rows(name: str, *, header: str) -> list[list[str]]:
    """Return the rows of the tables whose first column has this header; a cell is its text."""
    found: list[list[str]] = []
    inside = False
    for line in text(name).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        if cells and set(cells[0]) <= set("-|"):
            continue
        if cells and cells[0] == header:
            inside = True
        elif cells and inside:
            found.append(cells)
        elif not cells:
            inside = False
    return found


def codes(cell: str) -> list[str]:
    """Return what stands in backquotes."""
    return CODE.findall(cell)


def written(*arguments: str) -> str:
    """Run deploy/reference.py and return what it prints."""
    command = [sys.executable, str(ROOT / "deploy" / "reference.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
