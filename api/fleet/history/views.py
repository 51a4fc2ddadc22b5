"""What the API shows of history: one server in full, many servers as strips of slots."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class LatencyView(BaseModel):
    """Percentiles in milliseconds, each at most 5 % off."""

    p50: float
    p95: float
    p99: float


class WindowView(BaseModel):
    """The time up to now. `uptime` is the share of the known time, None when none is known."""

    uptime: float | None
    unknown_seconds: float
    checks: int
    latency_ms: LatencyView | None


class SlotView(BaseModel):
    """A part of the window: `seconds` of it have passed, and how many of them in which status."""

    start: datetime
    seconds: float
    up: float
    degraded: float
    down: float
    unknown: float
    latency_p50_ms: float | None


class TransitionView(BaseModel):
    """A change of status, as the event with the number `seq` tells of it."""

    model_config = ConfigDict(serialize_by_alias=True)

    seq: int
    at: datetime
    # The name that is shown is a keyword of Python.
    from_: str | None = Field(alias="from")
    to: str | None
    reason: str | None
    detail: str | None


class HistoryView(BaseModel):
    """One server: the windows that end now, one of them in 90 slots, and its latest transitions, newest first."""

    window: str
    windows: dict[str, WindowView]
    slots: list[SlotView]
    transitions: list[TransitionView]


class StripView(BaseModel):
    """One server's 90 slots: a letter for the worst of each (u up, g degraded, d down, n unknown), and latencies.

    `uptime` and `unknown_seconds` are those of the whole window, as in `WindowView`.
    """

    slots: str
    latency_ms: list[float | None]
    uptime: float | None
    unknown_seconds: float


class StripsView(BaseModel):
    """Many servers by id; slot number i begins at `start` + i × `slot_seconds`."""

    window: str
    start: datetime
    slot_seconds: int
    items: dict[str, StripView]
