"""Every metric of the fleet: name, kind, labels, what it says. deploy/prometheus/README.md shows the same."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a metric behaves."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric; `name` is the whole name, of a counter with its `_total`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=f"ollama_fleet_{name}", kind=Kind.GAUGE, help=text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=f"ollama_fleet_{name}_total", kind=Kind.COUNTER, help=text, labels=labels)


def _histogram(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=f"ollama_fleet_{name}", kind=Kind.HISTOGRAM, help=text, labels=labels)


BUILD_INFO = _gauge("build_info", "Always 1; the version is in the label.", "version")
DATABASE_UP = _gauge("database_up", "Whether the API reached the database; 0 leaves out all that is read from it.")

# Per server; only servers that are to be checked.
SERVER_UP = _gauge("server_up", "Whether the server can be used (status up or degraded).", "name", "id")
SERVER_SUSPECT = _gauge("server_suspect", "Whether bad answers were seen and there is no verdict yet.", "name", "id")
SERVER_STALE = _gauge("server_stale", "Whether the last check is older than it may be.", "name", "id")
SERVER_LATENCY = _gauge(
    "server_latency_seconds", "Time to the answer of the last check, if there was one.", "name", "id"
)
SERVER_TLS_EXPIRES = _gauge(
    "server_tls_expires_timestamp_seconds",
    "When the certificate ends that the server showed last, in seconds since 1970; only with https.",
    "name",
    "id",
)
SERVER_MODELS = _gauge("server_models", "Models that the server has and that are not switched off.", "name", "id")

SERVERS = _gauge("servers", "Servers by status; inactive ones are not checked.", "status")
MODELS = _gauge("models", "Different model names that active servers have.")
MODELS_LOADED = _gauge("models_loaded", "Models in the memory of active servers, each server's counted.")
EVENTS = _counter("events", "Events that were ever written to the event log.")

LEASES_HELD = _gauge("monitor_leases_held", "Slices of the fleet that a monitor is at work on; there is one slice.")
LEASE_EPOCH = _gauge("monitor_lease_epoch", "Grows each time the fleet changes from one monitor to another.")
STATS_AGE = _gauge("monitor_stats_age_seconds", "Age of what follows, which a monitor at work tells every 4 s.")
CHECKS = _counter("monitor_checks", "Checks of servers by what they found.", "reason")
START_LAG = _histogram("monitor_check_start_lag_seconds", "How long after it was due a check began.")
CHECKS_IN_FLIGHT = _gauge("monitor_checks_in_flight", "Checks under way.")
DISCOVERIES_IN_FLIGHT = _gauge("monitor_discoveries_in_flight", "Listings of models under way.")
BATCH_RECORDS = _histogram("monitor_batch_records", "Results written at once.")
BATCH_SECONDS = _histogram("monitor_batch_write_seconds", "Time it took to write them.")
RESULTS_WAITING = _gauge("monitor_results_waiting", "Servers whose newest result is not written yet.")
RESULTS_DROPPED = _counter(
    "monitor_results_dropped", "Results that nobody wanted any more, such as of deleted servers."
)
HISTORY_PAGES = _counter("monitor_history_pages", "Five minutes of a server written to history.")
HISTORY_LOST = _counter("monitor_history_pages_lost", "Those that found no room while the database was away.")
LOOP_LAG = _histogram("monitor_loop_lag_seconds", "How late the monitor's own heartbeat was, ten times a second.")
VERDICTS_HELD = _counter("monitor_verdicts_held", "Checks after which a server was not taken down, for isolation.")
ISOLATED = _gauge("monitor_isolated", "Whether the monitor takes itself to be cut off from the servers.")
MONITOR_RECONNECTS = _counter("monitor_listener_reconnects", "Times the monitor lost its session for NOTIFY.")

REQUESTS = _counter("api_requests", "Requests by method, route and status.", "method", "route", "status")
REQUEST_SECONDS = _histogram(
    "api_request_seconds", "Time to the whole answer, streams and long polls left out.", "route"
)
DELIVERY = _histogram("api_event_delivery_seconds", "From the time of an event until it was handed to all streams.")
STREAMS = _gauge("api_streams", "Event streams open.")
SESSIONS = _gauge("api_database_sessions", "Sessions of the API with the database, in_use or idle.", "state")
API_LISTENING = _gauge("api_listener_connected", "Whether the API hears NOTIFY; else events come up to 5 s late.")
API_RECONNECTS = _counter("api_listener_reconnects", "Times the API lost its session for NOTIFY.")

ALL = tuple(value for value in globals().values() if isinstance(value, Metric))
