"""Seals and opens credentials with the key ring of this process, and looks for new keys when one is missing."""

import os
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog

from monitor.credentials import key_ring, sealing
from monitor.credentials.key_ring import Key, KeyRing
from monitor.credentials.key_ring_file import KeyRingFile, Signature
from monitor.credentials.sealing import Sealed
from monitor.domain.credential import AuthType, ClientKey, Credential, Unreadable
from monitor.domain.errors import KeyRingError
from monitor.settings import Settings

FILE_NAME = "keyring"
MOST_NAMED = 3
# Where systemd puts what LoadCredential= names (systemd.exec(5)).
SYSTEMD_FOLDER = "CREDENTIALS_DIRECTORY"

log = structlog.get_logger(__name__)


class Vault:
    """Opens what any key of the ring has sealed; seals with the first one.

    The file is read when it is first needed, again before each sealing if it has changed, and again when a
    credential names a key that is not known: another process may have rotated.
    """

    def __init__(self, file: KeyRingFile, *, makes_ring: bool, must_exist: bool) -> None:
        """`makes_ring`: the first credential makes the file; `must_exist`: somebody has said that it is there."""
        self.file = file
        self._makes_ring = makes_ring
        self._must_exist = must_exist
        self._ring: KeyRing | None = None
        self._seen: Signature | None = None
        # Said once, however many servers there are.
        self._complaint = ""

    @classmethod
    def of(
        cls, settings: Settings, *, makes_ring: bool | None = None, environ: Mapping[str, str] = os.environ
    ) -> "Vault":
        """Return the vault of the settings; unless told, a ring is only made beside a database of our own."""
        if settings.keyring_file is not None:
            return cls(KeyRingFile(settings.keyring_file.expanduser()), makes_ring=False, must_exist=True)
        if (folder := environ.get(SYSTEMD_FOLDER)) and (Path(folder) / FILE_NAME).exists():
            return cls(KeyRingFile(Path(folder) / FILE_NAME), makes_ring=False, must_exist=True)
        if makes_ring is None:
            makes_ring = settings.database_url is None
        file = KeyRingFile(settings.state_dir.expanduser() / FILE_NAME)
        return cls(file, makes_ring=makes_ring, must_exist=False)

    def require(self, stored: Set[str], *, servers: Sequence[str] = ()) -> None:
        """Raise `KeyRingError` unless the ring goes with the credentials that are stored, by the ids of their keys.

        Without any the file need not be there yet. One key in common is enough: what the others sealed is the
        trouble of single servers. `servers` are the names of some whose credentials they are.
        """
        if self._must_exist or stored or self.file.signature() is not None:
            self._refresh()
        if not stored:
            return
        if self._ring is None:
            raise KeyRingError(
                f"The database holds credentials of servers, but the key ring that opens them is not at "
                f"{self.file.path}. Put it back from your copy, or let OLLAMA_FLEET_KEYRING_FILE name it. "
                f"{_if_lost(servers)}"
            )
        if all(self._ring.get(key_id) is None for key_id in stored):
            raise KeyRingError(
                f"The key ring {self.file.path} is not the one of this database: it has none of the keys that opened "
                f"its credentials ({', '.join(sorted(stored)[:3])}). Let OLLAMA_FLEET_KEYRING_FILE name the right one, "
                f"or put that back from your copy. {_if_lost(servers)}"
            )

    def seal(self, credential: Credential | ClientKey, *, server_id: UUID, url: str) -> Sealed:
        """Seal a credential or a client key for a server; raises `KeyRingError` when there is no key to do it with."""
        return sealing.seal(credential, server_id=server_id, url=url, key=self._first_key())

    def open(self, sealed: Sealed) -> Credential | Unreadable | None:
        """Open a server's credential; None where it has none. Never raises."""
        if sealed.auth_type == AuthType.NONE:
            return None
        opened = sealing.unseal(sealed, find_key=self._find_key)
        return sealing.MALFORMED if isinstance(opened, ClientKey) else opened

    def open_client_key(self, sealed: Sealed | None) -> ClientKey | Unreadable | None:
        """Open the key of a server's client certificate; None where there is none. Never raises."""
        opened = None if sealed is None else sealing.unseal(sealed, find_key=self._find_key)
        return opened if opened is None or isinstance(opened, ClientKey | Unreadable) else sealing.MALFORMED

    def has_changed(self) -> bool:
        """Whether the file is another one than was read."""
        try:
            return self.file.signature() != self._seen
        except KeyRingError:
            return False

    def _first_key(self) -> Key:
        self._refresh()
        if self._ring is not None and self.file.signature() is None:
            raise KeyRingError(
                f"The key ring {self.file.path} is gone, and what is sealed now could not be opened later: put it back "
                "from your copy."
            )
        if self._ring is None and self._makes_ring:
            # Perhaps not this key: another process may be quicker, and then its file is the one.
            if self.file.create(key_ring.new_key(at=datetime.now(UTC))):
                log.warning("key_ring_made", path=str(self.file.path), next="Keep a copy apart from the database.")
            self._refresh()
        if self._ring is None:
            raise KeyRingError(
                "A credential can only be stored with a key ring, and this process has none: make one with "
                "`ollama-fleet keys create FILE`, and let OLLAMA_FLEET_KEYRING_FILE of every process name it."
            )
        return self._ring.first

    def _find_key(self, key_id: str) -> Key | None:
        key = None if self._ring is None else self._ring.get(key_id)
        if key is not None:
            return key
        try:
            self._refresh()
        except KeyRingError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.warning("key_ring_not_read", error=self._complaint)
        return None if self._ring is None else self._ring.get(key_id)

    def _refresh(self) -> None:
        """Read the file if it has changed; one that has gone leaves the keys that were read from it."""
        signature = self.file.signature()
        is_gone = signature is None and (self._ring is not None or not self._must_exist)
        if not is_gone and (signature != self._seen or self._ring is None):
            self._ring, self._seen = self.file.read()
            self._complaint = ""


def _if_lost(servers: Sequence[str]) -> str:
    # Names are somebody else's text, and this goes to a terminal.
    shown = [name if name.isprintable() else ascii(name) for name in servers[:MOST_NAMED]]
    more = " and others" if len(servers) > MOST_NAMED else ""
    whose = f", which are those of {', '.join(shown)}{more}" if shown else ""
    return (
        f"If it is lost, so are the credentials{whose}: take each away with `ollama-fleet servers set NAME "
        "--auth-type none`, which needs no key, then start again and set it anew."
    )
