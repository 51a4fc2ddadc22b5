"""Looks at what the database holds that is secret: does the key ring open every credential, are there good tokens?"""

from datetime import timedelta

from api.cli.doctor import finding
from api.cli.doctor.finding import Finding
from api.cli.doctor.servers import some
from api.fleet.access import hosts
from api.fleet.queries import diagnosis
from api.fleet.queries import tokens as stored_tokens
from monitor.credentials.vault import Vault
from monitor.domain.credential import Unreadable
from monitor.domain.errors import KeyRingError
from monitor.postgres import credential_store
from monitor.postgres.database import Database


async def keys(store: Database, vault: Vault) -> Finding:
    """Open every credential, and name the servers of those that stay closed; changes nothing."""
    async with store.session() as connection:
        rows = await diagnosis.with_credentials(connection)
        try:
            await credential_store.require_key_ring(connection, vault)
        except KeyRingError as error:
            return finding.failed("keys", str(error), next="a service that is started before that ends at once.")
    closed = {
        row["name"]: found.why
        for row in rows
        if isinstance(found := vault.open(credential_store.sealed(row)), Unreadable)
    }
    if closed:
        name, why = next(iter(closed.items()))
        seen = f"{len(closed)} of {len(rows)} credentials do not open, of the servers {some(list(closed))}"
        return finding.failed("keys", seen, next=f"{name}: {why}")
    if not rows:
        return finding.ok("keys", "no server has a credential")
    return finding.ok("keys", f"{len(rows)} credentials, and {vault.file.path} opens all of them")


SOON = timedelta(days=7)


async def tokens(store: Database, *, api_host: str) -> Finding:
    """Count the tokens that are good, by the clock of the database, which is the one that ends them."""
    async with store.session() as connection:
        rows = await stored_tokens.read_all(connection)
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
    if not hosts.is_loopback(api_host):
        return finding.warning(
            "tokens",
            f"none is good, and OLLAMA_FLEET_API_HOST is {api_host}, which other machines reach, so no API starts",
            next=f"{making}, or listen on 127.0.0.1.",
        )
    if has_any:
        return finding.warning("tokens", "all are revoked or expired, so the API lets nobody in", next=f"{making}.")
    return finding.ok("tokens", "there is none: the API is open to this machine, and closed to all others")
