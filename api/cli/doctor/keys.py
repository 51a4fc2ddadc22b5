"""Looks at the stored credentials: is the key ring there, is it private, and does it open all of them?"""

from api.cli.doctor import finding
from api.cli.doctor.finding import Finding
from api.cli.doctor.servers import some
from api.fleet.queries import diagnosis
from monitor.credentials.vault import Vault
from monitor.domain.credential import Unreadable
from monitor.domain.errors import KeyRingError
from monitor.postgres import credential_store
from monitor.postgres.database import Database


async def look(store: Database, vault: Vault) -> Finding:
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
