"""What one look at an installation found, as a line of `ollama-fleet doctor`."""

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """How it is: `skipped` could not be looked at because something before it failed."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`subject` is what was looked at, `seen` what was found, `next` what to do unless all is well."""

    subject: str
    health: Health
    seen: str
    next: str = ""


def ok(subject: str, seen: str) -> Finding:
    """Return that all is well."""
    return Finding(subject=subject, health=Health.OK, seen=seen)


def warning(subject: str, seen: str, *, next: str) -> Finding:
    """Return what works for now."""
    return Finding(subject=subject, health=Health.WARNING, seen=seen, next=next)


def failed(subject: str, seen: str, *, next: str) -> Finding:
    """Return what does not work."""
    return Finding(subject=subject, health=Health.FAILED, seen=seen, next=next)


def skipped(subject: str) -> Finding:
    """Return that this could not be looked at."""
    return Finding(subject=subject, health=Health.SKIPPED, seen="not looked at, see above")
