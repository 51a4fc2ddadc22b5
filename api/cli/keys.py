"""`ollama-fleet keys …`: the key ring that opens the credentials of the servers."""

from datetime import UTC, datetime
from pathlib import Path

import click

from api.cli import sessions
from api.cli.arguments import json_option
from api.cli.groups import OrderedGroup
from api.cli.invocation import Invocation
from api.cli.screen import output, text
from api.cli.screen.output import Column
from api.fleet import key_changes
from api.fleet.key_changes import KeyUse
from monitor.credentials import key_ring
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.credentials.vault import Vault

COLUMNS = (Column(title="KEY"), Column(title="MADE"), Column(title="CREDENTIALS", right=True), Column(title="USE"))


@click.group(
    cls=OrderedGroup, epilog="Example: ollama-fleet keys rotate", short_help="Look after the keys of the credentials."
)
def keys() -> None:
    """Look after the key ring that opens the credentials of the servers.

    It is the file of OLLAMA_FLEET_KEYRING_FILE, else `keyring` among the credentials that systemd gives a service,
    else in OLLAMA_FLEET_STATE_DIR. The first key seals, all of them open. Keep a copy apart from the database.
    """


@keys.command(epilog="Example: ollama-fleet keys create /etc/ollama-fleet/keyring")
@click.argument("file", type=click.Path(path_type=Path))
def create(file: Path) -> None:
    """Make a key ring with one new key in FILE.

    A file that is there stays as it is. A new key opens nothing that other keys have sealed.
    """
    key = key_ring.new_key(at=datetime.now(UTC))
    if not KeyRingFile(file).create(key):
        raise click.ClickException(f"{file} is there already; nothing was changed.")
    output.say(f"Made {file} with the key {key.id}. Let OLLAMA_FLEET_KEYRING_FILE of every process name it.")


@keys.command("list", epilog="Example: ollama-fleet keys list")
@json_option
@sessions.coroutine
async def list_(invocation: Invocation, /, *, as_json: bool) -> None:
    """List the keys by their ids, and what each has sealed.

    The keys themselves are never shown.
    """
    vault = Vault.of(invocation.settings)
    async with sessions.database(invocation) as database:
        found = await key_changes.survey(database, vault)
    if as_json:
        output.as_json([_document(key) for key in found])
        return
    now = datetime.now(UTC)
    output.table(COLUMNS, [_cells(key, now) for key in found], empty="The key ring is empty.")


@keys.command(epilog="Example: ollama-fleet keys rotate")
@click.option("--add-only", is_flag=True, help="Add the key, and seal nothing with it yet.")
@sessions.coroutine
async def rotate(invocation: Invocation, /, *, add_only: bool) -> None:
    """Add a new key and seal all credentials anew with it.

    Servers are not checked anew for it, and running processes find the new key by themselves. It can be interrupted:
    run it again and it goes on. Where services have a copy of the ring (systemd's LoadCredential), begin with
    --add-only, restart them, and then run it without.
    """
    vault = Vault.of(invocation.settings)
    async with sessions.database(invocation, working="rotating the keys") as database:
        done = await key_changes.rotate(database, vault, tell=_tell, only_add=add_only)
    what = "new key" if done.is_new else "first key, which was there already,"
    output.say(f"The {what} {done.key_id} seals now; {done.resealed} credentials were sealed anew with it.")
    if done.unopened:
        servers = ", ".join(map(str, done.unopened))
        output.note(f"No key opens the credentials of these servers, so they stay as they are: {servers}")
    elif not add_only:
        output.note("`ollama-fleet keys prune` removes the older keys; a dump of the database from before needs them.")


@keys.command(epilog="Example: ollama-fleet keys prune")
@sessions.coroutine
async def prune(invocation: Invocation) -> None:
    """Remove the keys that no credential uses any more.

    The first one stays. A dump of the database from before a rotation opens with the removed keys only. Where
    services have a copy of the ring, restart them first.
    """
    vault = Vault.of(invocation.settings)
    async with sessions.database(invocation) as database:
        removed = await key_changes.prune(database, vault)
    output.say(f"Removed {', '.join(removed)}." if removed else "Every key is in use or the first; none was removed.")


def _cells(key: KeyUse, now: datetime) -> list[str]:
    return [text.printable(key.key_id), text.age(key.made_at, now=now), str(key.credentials), _use(key)]


def _tell(done: int, total: int) -> None:
    output.note(f"{done} of {total} credentials are sealed anew")


def _use(key: KeyUse) -> str:
    if key.is_missing:
        return "not in the ring: these credentials cannot be opened"
    return "seals and opens" if key.seals else "opens"


def _document(key: KeyUse) -> dict[str, object]:
    return {
        "key": key.key_id,
        "made_at": key.made_at,
        "seals": key.seals,
        "is_missing": key.is_missing,
        "credentials": key.credentials,
    }
