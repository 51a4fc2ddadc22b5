"""What one question to a server can answer: a reason of the contract, never an exception."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from monitor.domain.server import Api

# Characters of what is told of a probe or a listing beside its reason.
MAX_DETAIL = 200


class Reason(StrEnum):
    """Why a verdict is what it is (contract section 6)."""

    OK = "ok"
    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect_timeout"
    TIMEOUT = "timeout"
    RESET = "reset"
    TLS = "tls"
    AUTH = "auth"
    HOST_RULE = "host_rule"
    NOT_OLLAMA = "not_ollama"
    BUSY = "busy"
    SERVER_ERROR = "server_error"
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"
    BAD_JSON = "bad_json"
    LIST_FAILED = "list_failed"
    BLOCKED = "blocked"
    CREDENTIAL = "credential"
    LOCAL = "local"
    FLAPPING = "flapping"
    NOISY = "noisy"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """Answer of one liveness probe.

    `detail` has at most 200 printable characters and is stable for the same cause (no durations,
    no counters), `latency` is the time to the whole answer and None when there was none. `api` is what the
    server has answered on, None when it gave no good answer; `tls_expires_at` is the end of its certificate. How a
    good one came: `is_new_connection`, made for it; `lost`, how the last connection before that one had ended.
    """

    reason: Reason
    detail: str = ""
    latency: timedelta | None = None
    server_version: str | None = None
    api: Api | None = None
    retry_after: timedelta | None = None
    tls_expires_at: datetime | None = None
    is_new_connection: bool = field(default=False, compare=False)
    lost: "Lost | None" = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Lost:
    """When a connection that was kept between two questions ended, in monotonic seconds, and after how many idle."""

    at: float
    idle: float


# The host itself says so, at once: the next question may come soon, and brings a verdict soon.
QUICK = frozenset({Reason.REFUSED, Reason.RESET})


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """One model in a server's list.

    `model_name` is the exact name from the Ollama API. `capabilities` is None when the server did
    not say (older than 0.30), and an empty tuple when it said "none". Sizes are bytes, None when
    unknown. `remote_host` marks a cloud stub.
    """

    model_name: str
    digest: str | None = None
    size_bytes: int | None = None
    family: str | None = None
    parameter_size: str | None = None
    quantization: str | None = None
    context_length: int | None = None
    capabilities: tuple[str, ...] | None = None
    remote_host: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Answer of one listing: the models, or the reason why there are none to be had.

    Only `reason` OK makes `models` meaningful; `dropped` counts entries that could not be used. `retry_after` is when
    a server that failed wants to be asked again.
    """

    reason: Reason
    detail: str = ""
    models: tuple[ListedModel, ...] = ()
    dropped: int = 0
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """One model in a server's memory; `size_vram` < `size_bytes` means partly on the CPU."""

    model_name: str
    size_bytes: int | None = None
    size_vram: int = 0
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Residency:
    """Answer of one residency probe; `models` is None when the server cannot tell (before 0.1.38)."""

    reason: Reason
    detail: str = ""
    models: tuple[LoadedModel, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownModel:
    """Answer of one `show`: what the list of an older server does not tell about a model."""

    reason: Reason
    detail: str = ""
    capabilities: tuple[str, ...] | None = None
    context_length: int | None = None
