"""What a monitor counts of its own work, from the start of the process to its end: it outlives every lease."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from monitor.domain.distribution import RECORDS, SECONDS, Distribution
from monitor.domain.probe import Reason

_seconds = partial(Distribution, SECONDS)
_records = partial(Distribution, RECORDS)


@dataclass(slots=True, kw_only=True)
class Counters:
    """One set for a process; the parts that work under a lease are handed it, and count on where others left off.

    `start_lag` is how long after it was due each check was handed over, `loop_lag` how late the event loop was.
    `verdicts_held` counts a verdict that was held back once for each check that would have given it.
    """

    answers: Counter[Reason] = field(default_factory=Counter)
    start_lag: Distribution = field(default_factory=_seconds)
    loop_lag: Distribution = field(default_factory=_seconds)
    batch_records: Distribution = field(default_factory=_records)
    batch_seconds: Distribution = field(default_factory=_seconds)
    results_dropped: int = 0
    history_pages: int = 0
    history_pages_lost: int = 0
    verdicts_held: int = 0
