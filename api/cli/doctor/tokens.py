"""Looks at the tokens of the API: is there one that is good where one is needed, and does one end soon?"""

from datetime import timedelta

from api.cli.doctor import finding
from api.cli.doctor.finding import Finding
from api.cli.doctor.servers import some
from api.fleet.access import binding
from api.fleet.queries import tokens as queries
from monitor.postgres.database import Database

SOON = timedelta(days=7)


async def look(store: Database, *, api_host: str) -> Finding:
    """Count the tokens that are good, by the clock of the database, which is the one that ends them."""
    async with store.session() as connection:
        rows = await queries.read_all(connection)
    # The seconds that each is good for yet, None for ever.
    good = {
        row["name"]: row["seconds_left"]
        for row in rows
        if row["revoked_at"] is None and (row["seconds_left"] is None or row["seconds_left"] > 0)
    }
    if not good:
        return _none_good(api_host, has_any=bool(rows))
    ending = [name for name, left in good.items() if left is not None and left < SOON.total_seconds()]
    if ending:
        return finding.warning(
            "tokens",
            f"{len(good)} good, but within {SOON.days} days these end: {some(ending)}",
            next="make new ones under other names with `ollama-fleet token create`, and hand them out in time.",
        )
    return finding.ok("tokens", f"{len(good)} good")


def _none_good(api_host: str, *, has_any: bool) -> Finding:
    making = "make one with `ollama-fleet token create NAME --scope read --scope write`"
    if not binding.is_loopback(api_host):
        return finding.warning(
            "tokens",
            f"none is good, and OLLAMA_FLEET_API_HOST is {api_host}, which other machines reach, so no API starts",
            next=f"{making}, or listen on 127.0.0.1.",
        )
    if has_any:
        return finding.warning("tokens", "all are revoked or expired, so the API lets nobody in", next=f"{making}.")
    return finding.ok("tokens", "there is none: the API is open to this machine, and closed to all others")
