"""JSON from a stranger: a mapping, or the reason why it is none."""

import json
from dataclasses import dataclass
from typing import Any

from monitor.domain.probe import Reason

# Python refuses to convert very long numbers with an error that would cost the whole document.
MAX_DIGITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """Why the bytes are no JSON object."""

    reason: Reason
    detail: str


def parse_object(body: bytes) -> dict[str, Any] | Unusable:
    """Return the JSON object in the bytes; NaN and over-long integers in it become None."""
    try:
        document = json.loads(body, parse_int=_parse_int, parse_constant=_ignore)
    except RecursionError:
        return Unusable(reason=Reason.BAD_JSON, detail="The answer is JSON nested too deep.")
    except ValueError:
        if body.lstrip()[:1] == b"<":
            return Unusable(reason=Reason.NOT_OLLAMA, detail="The answer is a web page, not Ollama's.")
        return Unusable(reason=Reason.BAD_JSON, detail="The answer is not JSON.")
    if not isinstance(document, dict):
        return Unusable(reason=Reason.NOT_OLLAMA, detail="The answer is JSON, but not of Ollama's shape.")
    return document


def _parse_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= MAX_DIGITS else None


def _ignore(_constant: str) -> None:
    return None
