"""What a monitor counts of its own work, as it goes to the database with each renewal of the lease, for /metrics."""

import resource
from dataclasses import dataclass
from typing import Any

from monitor.postgres.listener import Listener
from monitor.services.check import Check
from monitor.services.dispatcher import Dispatcher
from monitor.services.historian import Historian
from monitor.services.own_health import OwnHealth
from monitor.services.recorder import BatchRecorder
from monitor.services.sweep import Sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The parts that count; since the process began."""

    check: Check
    sweep: Sweep
    checks: Dispatcher
    discoveries: Dispatcher
    recorder: BatchRecorder
    historian: Historian
    health: OwnHealth
    listener: Listener

    def document(self) -> dict[str, Any]:
        """Return all counts as they are now; api/web/metrics/catalogue.py says what each means."""
        # Read anew each time, since it can be changed from outside (prlimit); for `ollama-fleet doctor`.
        descriptors_allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return {
            "descriptors_allowed": descriptors_allowed,
            "checks": {reason.value: count for reason, count in self.check.answers.items()},
            "start_lag_seconds": self.sweep.lag.document(),
            "checks_in_flight": self.checks.in_flight,
            "discoveries_in_flight": self.discoveries.in_flight,
            "batch_records": self.recorder.batch_records.document(),
            "batch_seconds": self.recorder.batch_seconds.document(),
            "results_waiting": self.recorder.waiting,
            "results_dropped": self.recorder.dropped,
            "history_pages": self.historian.pages,
            "history_pages_lost": self.historian.lost,
            "loop_lag_seconds": self.health.lag.document(),
            "verdicts_held": self.health.held,
            "isolated": self.health.is_isolated,
            "listener_reconnects": self.listener.reconnects,
        }
