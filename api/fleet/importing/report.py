"""What came of an import: a finding for each value of the file, none of which holds any part of a secret."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What was done with one value; only the first two write anything."""

    TAKEN = "taken"
    UPDATED = "updated"
    THERE = "already there"
    LEFT = "not stored"
    UNKNOWN = "not understood"
    REFUSED = "not taken"


WRITTEN = frozenset({Outcome.TAKEN, Outcome.UPDATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One value: where it stands, what may be shown of it, what was done and why."""

    line: int
    variable: str = ""
    shown: str = ""
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All findings in the order of the file, and how many variables are about something else."""

    findings: Sequence[Finding]
    others: int
    is_rehearsal: bool

    @property
    def is_complete(self) -> bool:
        """Whether all that says something about a server is in the registry now, or would be."""
        return not any(finding.outcome is Outcome.REFUSED for finding in self.findings)

    def said(self, outcome: Outcome) -> str:
        """Return the outcome in words: of a rehearsal, what would be done."""
        return f"would be {outcome}" if self.is_rehearsal and outcome in WRITTEN else outcome.value

    def summary(self) -> str:
        """Return the last line: how many values had which outcome, and what is not shown."""
        outcomes = [finding.outcome for finding in self.findings]
        counts = [f"{outcomes.count(one)} {self.said(one)}" for one in Outcome if one in outcomes]
        others = f"; {self.others} {'variable is' if self.others == 1 else 'variables are'} about something else"
        rehearsal = " Nothing was written." if self.is_rehearsal else ""
        return f"{', '.join(counts) or 'Nothing about Ollama'}{others if self.others else ''}.{rehearsal}"

    def document(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "dry_run": self.is_rehearsal,
            "complete": self.is_complete,
            "findings": [
                {
                    "line": finding.line,
                    "variable": finding.variable or None,
                    "value": finding.shown or None,
                    "outcome": self.said(finding.outcome),
                    "detail": finding.detail,
                }
                for finding in self.findings
            ],
            "other_variables": self.others,
        }
