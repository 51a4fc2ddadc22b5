"""What a monitor counts of its own work, as it goes to the database with each renewal of the lease, for /metrics."""

import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from monitor.domain.counters import Counters
from monitor.lease_scope import LeaseScope
from monitor.postgres.listener import Listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What is counted since the process began, and what is so now under the lease, while one is held."""

    counters: Counters
    listener: Listener
    scope: Callable[[], LeaseScope | None]

    def document(self) -> dict[str, Any]:
        """Return all counts as they are now; api/web/metrics/catalogue.py says what each means."""
        # Read anew each time, since it can be changed from outside (prlimit); for `ollama-fleet doctor`.
        descriptors_allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        scope = self.scope()
        return {
            "descriptors_allowed": descriptors_allowed,
            "checks": {reason.value: count for reason, count in self.counters.answers.items()},
            "start_lag_seconds": self.counters.start_lag.document(),
            "checks_in_flight": 0 if scope is None else scope.checks.in_flight,
            "discoveries_in_flight": 0 if scope is None else scope.discoveries.in_flight,
            "batch_records": self.counters.batch_records.document(),
            "batch_seconds": self.counters.batch_seconds.document(),
            "results_waiting": 0 if scope is None else scope.recorder.waiting,
            "results_dropped": self.counters.results_dropped,
            "history_pages": self.counters.history_pages,
            "history_pages_lost": self.counters.history_pages_lost,
            "loop_lag_seconds": self.counters.loop_lag.document(),
            "verdicts_held": self.counters.verdicts_held,
            "isolated": scope is not None and scope.health.is_isolated,
            "listener_reconnects": self.listener.reconnects,
        }
