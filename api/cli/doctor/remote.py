"""Looks at a fleet elsewhere through its API: is it reached, is the token good, is it ready?"""

from collections.abc import AsyncIterator

from api.cli import listing
from api.cli.doctor import finding, servers
from api.cli.doctor.finding import Finding
from api.cli.reach import FleetRegistry
from api.cli.screen import wording
from api.fleet.readiness import OK
from api.fleet.refusals import Refused
from monitor.domain.errors import FleetError


async def look(registry: FleetRegistry, *, api_url: str) -> AsyncIterator[Finding]:
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
        yield servers.freshness(known)
