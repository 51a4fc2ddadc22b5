"""Looks at the registered servers as this machine sees them, and at a fleet elsewhere through its API."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

from api.cli import listing
from api.cli.doctor import finding
from api.cli.doctor.finding import Finding
from api.cli.fleet import FleetRegistry
from api.cli.screen import wording
from api.fleet.readiness import OK
from api.fleet.refusals import Refused
from api.fleet.views import ServerView
from monitor.domain import url
from monitor.domain.errors import FleetError

LOOK_UP_SECONDS = 5.0
LOOK_UPS_AT_ONCE = 16
MOST_NAMED = 5


async def names(servers: Sequence[ServerView]) -> Finding:
    """Look every host name of an active server up."""
    wanted = {server.url for server in servers if server.is_active and url.literal_address(server.url) is None}
    hosts = sorted({host for one in wanted if (host := urlsplit(one).hostname)})
    turns = asyncio.Semaphore(LOOK_UPS_AT_ONCE)
    lost = [host for host in await asyncio.gather(*(_unless_found(host, turns) for host in hosts)) if host]
    if not lost:
        return finding.ok("dns", f"all {len(hosts)} host names of servers are found" if hosts else "no names in use")
    return finding.failed(
        "dns",
        f"not found: {some(lost)}",
        next=f"`getent hosts {lost[0]}` shows what this machine finds; correct the name or the resolver.",
    )


def freshness(servers: Sequence[ServerView]) -> Finding:
    """Look at whether every active server was checked lately."""
    stale = [server.name for server in servers if server.stale]
    if not stale:
        return finding.ok("checks", "every active server was checked lately")
    return finding.failed(
        "checks",
        f"not checked lately: {some(stale)}",
        next="see that a monitor is at work (above), and in its log what it waits for.",
    )


def some(names: Sequence[str]) -> str:
    """Return the first names as text, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


async def _unless_found(host: str, turns: asyncio.Semaphore) -> str | None:
    async with turns:
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError):
            return host
    return None


async def look_through_api(registry: FleetRegistry, *, api_url: str) -> AsyncIterator[Finding]:
    """Yield what can be seen from here."""
    try:
        report = await registry.readiness()
    except FleetError as error:
        yield finding.failed("api", str(error), next="run `ollama-fleet doctor` on the API's own machine.")
        return
    yield finding.ok("api", f"answers at {api_url}")
    for subject, health in report.checks.items():
        if health == OK:
            yield finding.ok(subject, "ok, says the API")
    for reason in report.reasons:
        seen, _, remedy = reason.partition(": ")
        yield finding.failed("readiness", seen, next=remedy or "run `ollama-fleet doctor` on the API's own machine.")
    try:
        known = await listing.all_servers(registry)
    except Refused as problem:
        yield finding.failed("access", "the servers cannot be read", next=wording.sentence(problem))
    else:
        yield finding.ok("access", f"{len(known)} servers can be read")
        yield freshness(known)
