"""An isolation of the monitor in one sentence for the operator: what fell silent, what waits, and where to look."""

from datetime import UTC, datetime

from api.fleet.queries.isolation import Isolation
from monitor.domain.probe import Reason

LOOK = "see whether the monitor's host has lost its network"
LOOK_AT_NAMES = "see whether the resolver of the monitor's host works"
LOOK_AT_HOST = "check network, memory and open files (ulimit -n) of the monitor's host"


def sentence(isolation: Isolation) -> str:
    """Return what is wrong and, after a colon, what to do."""
    what, look = _silence(isolation)
    if isolation.until is None:
        return f"{what}, so verdicts are held: {look}."
    until = _clock(isolation.until, now=isolation.now)
    if isolation.is_holding:
        return f"{what}, so verdicts are held until {until}: {look}."
    return f"{what}; verdicts are held no more since {until}, but the monitor still has this trouble: {look}."


def _silence(isolation: Isolation) -> tuple[str, str]:
    number = f"{isolation.servers} of {isolation.of} servers"
    match isolation.cause:
        case Reason.LOCAL:
            return f"{number} could not be asked, by faults of the monitor's own host (local)", LOOK_AT_HOST
        case Reason.DNS:
            return f"The names of {number} are not found any more ({isolation.cause})", LOOK_AT_NAMES
    return f"{number} stopped answering at once ({isolation.cause}) and nothing else answers", LOOK


def _clock(moment: datetime, *, now: datetime) -> str:
    moment = moment.astimezone(UTC)
    is_today = moment.date() == now.astimezone(UTC).date()
    return f"{moment:%H:%M:%S} UTC" if is_today else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
