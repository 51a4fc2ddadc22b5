"""A simulated network, one question at a time: what comes of it and when, down to the packet that has to be sent again.

A lost packet of a connection is sent again after 0.2, 0.4, 0.8 … s, one that opens a connection after 1, 2, 4 … s,
as TCP does. So a question fails by its time-out only when that does not suffice. Connections are kept, but to a
server with a name a new one is made each time, as through a proxy that closes them. An idle connection is asked
after by the kernel alone, as Linux does it.
"""

import random
from dataclasses import dataclass
from math import inf

from monitor.domain.probe import Reason
from monitor.domain.watching import Ending
from monitor.ollama import watch
from monitor.ollama.dialer import KNOCKS
from monitor.ollama.names import PATIENCE_SECONDS
from monitor.ollama.race import STAGGER_SECONDS
from tests.virtual.trace import Fault, Kind, Trace, is_on

RESENT = 0.2
OPENED_AGAIN = 1.0
IDLE, INTERVAL, _, GIVES_UP_MS = (value for _, value in watch.KEEPALIVE)
FASTEST, SLOWEST = 0.001, 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A server's place in the network; `round_trip` in seconds."""

    number: int
    network: int
    named: bool
    round_trip: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of a question, and when."""

    at: float
    reason: Reason


class Client:
    """One program's connections to the servers; whether it `remembers` addresses while no name can be looked up."""

    def __init__(self, trace: Trace, hosts: list[Host], chance: random.Random, *, remembers: bool = False) -> None:
        self._trace = trace
        self._hosts = hosts
        self._chance = chance
        self._remembers = remembers
        self.looked_up_at = -inf
        self._made = {host.number: trace.begin for host in hosts if not host.named}

    def ask(self, number: int, at: float, *, patience: float, connect_within: float | None = None) -> Outcome:
        """Ask a server now, for at most so many seconds; with `connect_within` on a new connection, made within it."""
        host, faults, deadline = self._hosts[number], self._trace.of(number), at + patience
        if not faults and not host.named:
            return Outcome(at + host.round_trip, Reason.OK)
        made, sent = None if connect_within is not None else self._made.get(number), at
        if made is None or is_on(faults, Kind.KILL, at + host.round_trip / 2):
            connected = self.connect(number, at, deadline=deadline, within=connect_within)
            if connected.reason is not Reason.OK:
                return self._ended(number, connected)
            made = sent = connected.at
        outcome = self._exchange(host, faults, sent, made=made, deadline=deadline)
        if outcome.at > deadline:
            return self._ended(number, Outcome(deadline, Reason.TIMEOUT))
        if not host.named:
            self._made[number] = made
        return outcome

    def give_up(self, number: int) -> None:
        """Close the connection on which an answer was not taken in time."""
        self._made.pop(number, None)

    def connect(self, number: int, at: float, *, deadline: float, within: float | None = None) -> Outcome:
        """Open a connection: OK, or why there is none; with `within` only so long, and as often as our dialer."""
        host, faults = self._hosts[number], self._trace.of(number)
        if host.named:
            nameless = is_on(faults, Kind.NO_NAMES, at)
            if nameless is None:
                self.looked_up_at = at
            elif self._remembers:
                # All names were looked up before the incident.
                at += min(nameless.size, PATIENCE_SECONDS)
            else:
                return Outcome(min(at + nameless.size, deadline), Reason.DNS)
        half = host.round_trip / 2
        if within is not None:
            deadline = min(deadline, at + within)
        for sent in _openings(at, until=deadline, times=1 if within is None else KNOCKS):
            if not self._is_unheard(faults, sent, made=sent):
                back = sent + host.round_trip + _delay(faults, sent + half)
                refused = is_on(faults, Kind.KILL, sent + half)
                if back <= deadline:
                    return Outcome(back, Reason.REFUSED if refused else Reason.OK)
                break
        return Outcome(deadline, Reason.CONNECT_TIMEOUT)

    def watch_ends(self, number: int, made: float) -> tuple[float, Ending]:
        """Return when and how an idle connection ends: with the process behind it, or as its keep-alive is not heard.

        The kernel looks at each `INTERVAL` while an answer is out, else once `IDLE` has passed since the last one.
        """
        host, faults = self._hosts[number], self._trace.of(number)
        killed = min((fault.begin for fault in faults if fault.kind is Kind.KILL), default=inf) + host.round_trip / 2
        coming: list[float] = []
        heard, at = made, made + IDLE
        while faults and at < min(killed, self._trace.end):
            heard = max([heard, *(answer for answer in coming if answer <= at)])
            coming = [answer for answer in coming if answer > at]
            if at < heard + IDLE:
                at = heard + IDLE
                continue
            if at >= heard + GIVES_UP_MS / 1000:
                return at, Ending.SILENT
            if not self._is_unheard(faults, at, made=made):
                coming.append(at + host.round_trip + _delay(faults, at + host.round_trip / 2))
            at += INTERVAL
        return killed, Ending.CLOSED

    def _ended(self, number: int, outcome: Outcome) -> Outcome:
        self._made.pop(number, None)
        return outcome

    def _exchange(self, host: Host, faults: tuple[Fault, ...], at: float, *, made: float, deadline: float) -> Outcome:
        """Send a question on a connection and wait for its answer, which may come too late."""
        half = host.round_trip / 2
        come = self._sent(faults, at, made=made, until=deadline) + half
        paused = is_on(faults, Kind.PAUSE, come)
        answered = come if paused is None else paused.end
        gone = self._sent(faults, answered, made=made, until=deadline, back=True)
        reason = Reason.BUSY if is_on(faults, Kind.BUSY, answered) else Reason.OK
        return Outcome(gone + half + _delay(faults, gone), reason)

    def _sent(self, faults: tuple[Fault, ...], at: float, *, made: float, until: float, back: bool = False) -> float:
        """Return when a packet is sent that is not lost; any time after `until` is as good as never."""
        wait = RESENT
        while at <= until and self._is_lost(faults, at, made=made, back=back):
            at, wait = at + wait, wait * 2
        return at

    def _is_unheard(self, faults: tuple[Fault, ...], at: float, *, made: float) -> bool:
        return self._is_lost(faults, at, made=made) or self._is_lost(faults, at, made=made, back=True)

    def _is_lost(self, faults: tuple[Fault, ...], at: float, *, made: float, back: bool = False) -> bool:
        for fault in faults:
            if not fault.begin <= at < fault.end:
                continue
            match fault.kind:
                case Kind.LOSS if self._chance.random() < fault.size:
                    return True
                case Kind.ONE_WAY if back:
                    return True
                case Kind.HALF_OPEN if made < fault.begin:
                    return True
                case Kind.POWER_LOSS:
                    return True
        return False


def _openings(at: float, *, until: float, times: int) -> list[float]:
    """Return when packets are sent that open a connection, begun so many times."""
    sent: list[float] = []
    for number in range(times):
        begun, wait = at + number * STAGGER_SECONDS, OPENED_AGAIN
        while begun < until:
            sent.append(begun)
            begun, wait = begun + wait, wait * 2
    return sorted(sent)


def _delay(faults: tuple[Fault, ...], at: float) -> float:
    fault = is_on(faults, Kind.DELAY, at)
    return 0.0 if fault is None else fault.size


def hosts(count: int, *, networks: int, named: float, chance: random.Random) -> list[Host]:
    """Return the hosts of a fleet, spread over networks; `named` is the share of those with a name."""
    return [
        Host(
            number=number,
            network=number % networks,
            named=number < named * count,
            round_trip=FASTEST * (SLOWEST / FASTEST) ** chance.random(),
        )
        for number in range(count)
    ]
