"""What goes wrong in one piece of a day, drawn beforehand: the same for every rule that is judged by it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from math import inf

# Seconds. What takes longer than this to answer is away for its clients, too.
TOO_SLOW = 5.0


class Kind(Enum):
    """What can go wrong; what `size` of a fault means stands beside."""

    STALL = auto()  # the monitor does nothing
    CLOCK_STEP = auto()  # size: seconds by which the clock on the wall is set
    LOSS = auto()  # size: the share of packets that are lost, either way
    DELAY = auto()  # size: seconds by which whatever comes back is late
    ONE_WAY = auto()  # nothing comes back
    NO_NAMES = auto()  # size: seconds until the resolver says that it cannot tell
    HALF_OPEN = auto()  # connections from before it are dead, and nobody says so
    BUSY = auto()  # every answer is 429
    PAUSE = auto()  # the process is stopped; its kernel goes on
    KILL = auto()  # the process is gone, the host says so
    POWER_LOSS = auto()  # the host is gone, and silent


OURS = frozenset({Kind.STALL, Kind.CLOCK_STEP})
GONE = frozenset({Kind.PAUSE, Kind.KILL, Kind.POWER_LOSS})
DEADLY = frozenset({Kind.KILL, Kind.POWER_LOSS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong from `begin` until `end`; `servers` None: with all of them."""

    kind: Kind
    begin: float
    end: float = inf
    size: float = 0.0
    servers: frozenset[int] | None = None

    @property
    def is_outage(self) -> bool:
        """Whether a server is truly away meanwhile: not there, or far too slow for anybody."""
        return self.kind in GONE or (self.kind is Kind.DELAY and self.size >= TOO_SLOW)


class Trace:
    """All faults of a fleet whose servers have the numbers from 0 on."""

    def __init__(self, faults: Sequence[Fault], *, servers: int, begin: float, end: float) -> None:
        self.servers, self.begin, self.end = servers, begin, end
        self.ours = sorted((each for each in faults if each.kind in OURS), key=lambda fault: fault.begin)
        theirs = [each for each in faults if each.kind not in OURS]
        common = tuple(each for each in theirs if each.servers is None)
        self._of = [common] * servers
        for fault in theirs:
            for number in fault.servers or ():
                self._of[number] += (fault,)

    def of(self, number: int) -> tuple[Fault, ...]:
        """Return what ever goes wrong with a server or on the way to it."""
        return self._of[number]

    def is_there(self, number: int, at: float) -> bool:
        """Whether a server truly runs, whatever can be seen of it."""
        return not any(fault.is_outage and fault.begin <= at < fault.end for fault in self._of[number])

    def deaths(self) -> dict[int, float]:
        """Return when which server died for good."""
        return {
            number: fault.begin for number in range(self.servers) for fault in self._of[number] if fault.kind in DEADLY
        }

    def awake(self, at: float) -> float:
        """Return when a monitor that stands still now goes on, which is now if it does not."""
        for fault in self.ours:
            if fault.kind is Kind.STALL and fault.begin <= at < fault.end:
                at = fault.end
        return at


def is_on(faults: Collection[Fault], kind: Kind, at: float) -> Fault | None:
    """Return the fault of a kind that is on at a time."""
    for fault in faults:
        if fault.kind is kind and fault.begin <= at < fault.end:
            return fault
    return None
