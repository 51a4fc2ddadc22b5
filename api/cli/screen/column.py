"""What a column of a table is, whoever prints it."""

from dataclasses import dataclass


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
