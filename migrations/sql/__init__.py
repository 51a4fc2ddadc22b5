"""Functions, triggers and views as they are now: one SQL file for each topic.

A file is changed in place. The newest revision that changes a file runs it: its name moves there from the revision that
ran it before. So each file is run once, when all columns that it names are there. On the way down a revision drops
what it ran: only the newest revision has functions, and the way back in production is a dump.

Lists of columns are filled in from `monitor/postgres/tables.py`: `{servers.edited of NEW}` is `NEW.name, NEW.url, …`.
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from importlib import resources

from alembic import op
from sqlalchemy import TextClause, text

from monitor.postgres import tables

SEPARATOR = "\n-- next\n"
INDENT = " " * 12
# What runs with the owner's rights finds nothing that a caller made: pg_temp is searched first unless it is named, and
# "$user" may be the caller's schema. The functions take this path FROM CURRENT.
SEARCH_PATH = "SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)"
TABLES = {"servers": tables.ollama_servers, "models": tables.ollama_models}
# What a verdict's own event tells.
STATUS = ("status", "status_reason", "status_detail", "is_available")
LIST = re.compile(
    r"\{(?P<table>servers|models)\.(?P<list>\w+) (?:of (?P<row>\w+)(?P<form> := NULL| as an object)?|as texts)\}"
)
MADE = re.compile(r"^CREATE OR REPLACE (FUNCTION|VIEW) (\w+)", re.MULTILINE)


def run(*topics: str) -> None:
    """Make the functions, triggers and views of some topics, or bring them up to date; rights on them stay."""
    op.execute(SEARCH_PATH)
    for topic in topics:
        for statement in statements(topic):
            op.execute(_literal(statement))


def drop(*topics: str) -> None:
    """Drop the functions and views of some topics, and the triggers that call them."""
    for topic in topics:
        for kind, name in reversed(MADE.findall(_read(topic))):
            op.execute(f"DROP {kind} {name} CASCADE")


def statements(topic: str) -> list[str]:
    """Return the statements of a file, with the lists filled in; a line `-- next` stands between two of them."""
    return LIST.sub(_filled, _read(topic)).rstrip("\n").split(SEPARATOR)


def _read(topic: str) -> str:
    return (resources.files(__package__) / f"{topic}.sql").read_text(encoding="utf-8")


def _literal(statement: str) -> TextClause:
    r"""Return a statement in which no colon begins a parameter."""
    return text(statement.replace(":", r"\:"))


def _filled(found: re.Match[str]) -> str:
    columns, row = _columns(found["table"], found["list"]), found["row"]
    if row is None:
        return _wrapped([f"'{column}'" for column in columns])
    if found["form"] == " := NULL":
        return f";\n{INDENT}".join(f"{row}.{column} := NULL" for column in columns)
    if found["form"] == " as an object":
        return "jsonb_build_object(" + _wrapped([f"'{column}', {row}.{column}" for column in columns]) + ")"
    return _wrapped([f"{row}.{column}" for column in columns])


def _columns(table: str, name: str) -> Sequence[str]:
    if name == "status":
        return STATUS
    if name == "noticed_beside_status":
        return [column for column in TABLES[table].noticed if column not in {"id", *STATUS}]
    columns: Sequence[str] = getattr(TABLES[table], name)
    return columns


def _wrapped(items: Sequence[str]) -> str:
    """Return items as a list of lines that a person can read in psql."""
    return f"\n{INDENT}".join(textwrap.wrap(", ".join(items), 100, break_on_hyphens=False))


def topics() -> Iterator[str]:
    """Yield the names of all files."""
    return (
        file.name.removesuffix(".sql") for file in resources.files(__package__).iterdir() if file.name.endswith(".sql")
    )
