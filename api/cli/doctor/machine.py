"""Looks at this machine: open files, room on the disk, and who has the port of the API."""

import resource
import shutil
from pathlib import Path

from api.cli.doctor import finding
from api.cli.doctor.finding import Finding
from api.fleet.access import hosts
from api.fleet.access.hosts import PortOwner
from monitor.settings import Settings

# For each server a probe and a connection watch, and something for the database, the API and its streams.
DESCRIPTORS_PER_SERVER = 2
OTHER_DESCRIPTORS = 256
LEAST_FREE_BYTES = 1024**3


def descriptors(servers: int, *, of_monitor: int | None) -> Finding:
    """Look at how many files the monitor at work may open; only where none has told, at what this shell's programs may.

    A service has a limit of its own, so too low a one of this shell need not be anybody's trouble.
    """
    wanted = DESCRIPTORS_PER_SERVER * servers + OTHER_DESCRIPTORS
    needed = f"about {wanted} needed"
    if of_monitor is not None:
        seen = f"the monitor at work may open {_number(of_monitor)} files, {needed}"
        if _is_enough(of_monitor, wanted):
            return finding.ok("descriptors", seen)
        return finding.failed(
            "descriptors",
            seen,
            next=f"LimitNOFILE={wanted} in its unit, or `ulimit -n {wanted}` in its shell, and start it again.",
        )
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    seen = f"no monitor tells what it may open; what this shell starts may open {_number(soft)} files, {needed}"
    if _is_enough(soft, wanted):
        return finding.ok("descriptors", seen)
    return finding.warning(
        "descriptors", seen, next=f"`ulimit -n {wanted}` before a start from here; a unit has its own LimitNOFILE."
    )


def _is_enough(allowed: int, wanted: int) -> bool:
    return allowed == resource.RLIM_INFINITY or allowed >= wanted


def _number(allowed: int) -> str:
    return "any number of" if allowed == resource.RLIM_INFINITY else str(allowed)


def disk(state_dir: Path) -> Finding:
    """Look at the room that is left for the embedded PostgreSQL."""
    folder = next(folder for folder in (state_dir, *state_dir.parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    seen = f"{free / 1024**3:.1f} GiB free in {folder}"
    if free >= LEAST_FREE_BYTES:
        return finding.ok("disk", seen)
    return finding.failed("disk", seen, next="make room, or set OLLAMA_FLEET_STATE_DIR to a bigger disk.")


async def port(settings: Settings) -> Finding:
    """Look at who answers where the API is to be."""
    host, number = settings.api_host, settings.api_port
    where = f"{host} port {number}"
    match await hosts.port_owner(host, number):
        case PortOwner.NOBODY:
            next_step = "start `ollama-fleet up` or `ollama-fleet api` for the API."
            return finding.warning("port", f"nobody answers on {where}", next=next_step)
        case PortOwner.API:
            return finding.ok("port", f"the API answers on {where}")
        case PortOwner.OTHER:
            return finding.failed(
                "port",
                f"another program answers on {where}",
                next="stop that one, or set OLLAMA_FLEET_API_PORT to a free port.",
            )
