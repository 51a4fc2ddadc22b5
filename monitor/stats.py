"""What a monitor counts of its own work, as it goes to the database with each renewal of the lease, for /metrics."""

import resource
from dataclasses import dataclass
from typing import Any

from monitor.domain.counters import Counters
from monitor.postgres.listener import Listener
from monitor.services.dispatcher import Dispatcher
from monitor.services.own_health import OwnHealth
from monitor.services.recorder import BatchRecorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The parts that count; since the process began."""

    counters: Counters
    checks: Dispatcher
    discoveries: Dispatcher
    recorder: BatchRecorder
    health: OwnHealth
    listener: Listener

    def document(self) -> dict[str, Any]:
        """Return all counts as they are now; api/metrics/catalogue.py says what each means."""
        # Read anew each time, since it can be changed from outside (prlimit); for `ollama-fleet doctor`.
        descriptors_allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return {
            "descriptors_allowed": descriptors_allowed,
            "checks": {reason.value: count for reason, count in self.counters.answers.items()},
            "start_lag_seconds": self.counters.start_lag.document(),
            "checks_in_flight": self.checks.in_flight,
            "discoveries_in_flight": self.discoveries.in_flight,
            "batch_records": self.counters.batch_records.document(),
            "batch_seconds": self.counters.batch_seconds.document(),
            "results_waiting": self.recorder.waiting,
            "results_dropped": self.counters.results_dropped,
            "history_pages": self.counters.history_pages,
            "history_pages_lost": self.counters.history_pages_lost,
            "loop_lag_seconds": self.counters.loop_lag.document(),
            "verdicts_held": self.counters.verdicts_held,
            "isolated": self.health.is_isolated,
            "listener_reconnects": self.listener.reconnects,
        }
