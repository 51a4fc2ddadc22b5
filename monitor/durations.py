"""Durations as operators write them: a number and a unit, such as `15s`, `500ms` or `7 d`."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?) ?(?P<unit>ms|s|m|h|d)?")


def parse_duration(value: object) -> timedelta:
    """Read `15`, `15s`, `500 ms`, `7 d` as a duration; a bare number is seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _seconds(value)
    if isinstance(value, timedelta):
        return value
    match = DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a number with a unit, for example 15s, 500ms or 7d")
    return _seconds(float(match["number"]) * UNITS[match["unit"] or "s"])


def _seconds(number: float) -> timedelta:
    try:
        return timedelta(seconds=number)
    except (OverflowError, ValueError) as error:
        raise ValueError("no duration is that long") from error


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
