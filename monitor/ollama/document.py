"""JSON from a stranger: what it says, or the reason why it is none."""

import json
from dataclasses import dataclass
from typing import Any

from monitor.domain.probe import Reason

# Python refuses to convert very long numbers with an error that would cost the whole document.
MAX_DIGITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """Why the bytes are of no use."""

    reason: Reason
    detail: str


def parse_object(body: bytes) -> dict[str, Any] | Unusable:
    """Return the JSON object in the bytes."""
    document = parse(body)
    if isinstance(document, dict | Unusable):
        return document
    return Unusable(reason=Reason.NOT_OLLAMA, detail="The answer is JSON, but not of Ollama's shape.")


def parse(body: bytes) -> Any | Unusable:
    """Return what the bytes are in JSON; NaN and over-long integers in it become None."""
    try:
        return json.loads(body, parse_int=_parse_int, parse_constant=_ignore)
    except RecursionError:
        return Unusable(reason=Reason.BAD_JSON, detail="The answer is JSON nested too deep.")
    except ValueError:
        if body.lstrip()[:1] == b"<":
            return Unusable(reason=Reason.NOT_OLLAMA, detail="The answer is a web page, not Ollama's.")
        return Unusable(reason=Reason.BAD_JSON, detail="The answer is not JSON.")


def _parse_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= MAX_DIGITS else None


def _ignore(_constant: str) -> None:
    return None
