"""Turning values into words for a person: clean text, ages, times, sizes.

What servers say about themselves is somebody else's text: nothing in it may steer a terminal.
"""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

NOTHING = "-"
_AGE_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
# An age is given in a unit only from two of it on: "90 s" tells more than "1 min".
_LEAST_OF_A_UNIT = 2
_SIZE_STEP = 1000


def printable(text: str) -> str:
    r"""Return the text with control, direction and other invisible characters written out, like \x1b."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def age(at: datetime | None, *, now: datetime) -> str:
    """Return `12 s ago`, `in 3 s`, or a dash for a time that is not there."""
    if at is None:
        return NOTHING
    seconds = (now - at).total_seconds()
    return f"in {span(-seconds)}" if seconds <= -1 else f"{span(max(seconds, 0))} ago"


def span(seconds: float) -> str:
    """Return a length of time in its biggest sensible unit: `12 s`, `90 s`, `3 h`."""
    for size, unit in _AGE_UNITS:
        if seconds >= size * (_LEAST_OF_A_UNIT if size > 1 else 1):
            return f"{seconds / size:.0f} {unit}"
    return "0 s"


def local_time(at: datetime | None) -> str:
    """Return a time as the clock on the wall shows it."""
    return NOTHING if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def size(number: int | None) -> str:
    """Return a number of bytes as Ollama shows it: `2.0 GB`, powers of ten."""
    if number is None:
        return NOTHING
    amount = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < _SIZE_STEP:
            return f"{amount:.1f} {unit}" if unit != "B" else f"{number} B"
        amount /= _SIZE_STEP
    return f"{amount:.1f} TB"


def milliseconds(value: float | None) -> str:
    """Return a latency."""
    return NOTHING if value is None else f"{value:.1f} ms"


def word(value: object) -> str:
    """Return any value of a record as one clean line."""
    if value in (None, "", [], {}):
        return NOTHING
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.1f}"
        case dict():
            return ", ".join(f"{printable(str(name))}={word(one)}" for name, one in value.items())
        case list():
            return ", ".join(word(one) for one in value)
    return printable(str(value))


def to_json(document: object, *, indent: int | None = 2) -> str:
    """Return a document as JSON in ASCII: times in ISO 8601 and UTC."""
    # json leaves DEL as it is, the one control character of ASCII that it does not escape.
    return json.dumps(document, indent=indent, default=_plain).replace("\x7f", "\\u007f")


def _plain(value: object) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case UUID():
            return str(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")
