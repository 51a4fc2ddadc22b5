"""The tokens of the API: what one looks like, and all of them in memory, kept true by reading them anew every second.

A token is `olf_`, a public id to look it up by, `_`, and a secret that is shown once.

A re-read rather than a NOTIFY: the table has a handful of rows, and so no lost wake-up and no pooler in
between can keep a revoked token alive. With the database away the tokens known last go on being good.
"""

import asyncio
import contextlib
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from uuid import UUID

from api.fleet.access import grant
from api.fleet.access.grant import Grant
from api.fleet.access.scopes import LOCAL, OPEN, Access, Scope, implied
from api.fleet.queries import tokens as queries
from api.fleet.refusals import Refused
from monitor.domain.errors import DatabaseUnavailableError
from monitor.postgres.database import Database, Row

SECRET_BYTES = 32
_TOKEN = re.compile(r"olf_([0-9a-f]{32})_[A-Za-z0-9_-]{43}")
RELOAD_SECONDS = 1.0
# The last use is noted for a person who looks for tokens that nobody needs.
USES_SECONDS = 60.0
LAST_WRITE_SECONDS = 1.0


def make(token_id: UUID) -> str:
    """Return a new token with this id."""
    return f"olf_{token_id.hex}_{secrets.token_urlsafe(SECRET_BYTES)}"


def public_id(token: str) -> str | None:
    """Return the id in a token, as 32 hexadecimal digits; None for a text that cannot be one."""
    match = _TOKEN.fullmatch(token)
    return None if match is None else match[1]


def digest(token: str) -> bytes:
    """Return what is stored of a token, 32 bytes.

    One SHA-256 is enough: the slow hashes for passwords make up for secrets that can be guessed, and nobody
    guesses 256 random bits. A fast one lets every request be asked for its token.
    """
    return hashlib.sha256(token.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    row: Row
    digest: bytes
    access: Access


class TokenTable:
    """Invariant: a token that was ever seen revoked, changed or gone has its grant ended."""

    def __init__(self, database: Database, *, open_when_empty: bool) -> None:
        """`open_when_empty`: without any token in the table nobody needs one.

        One that is revoked or expired is a token, too: a fleet must not fall open because its last one ended.
        """
        self._database = database
        self._open_when_empty = open_when_empty
        # By the id as a token has it, which spares every request to make a UUID of it.
        self._known: dict[str, _Known] = {}
        self._uses: dict[str, float] = {}
        self._reading = asyncio.Lock()
        self._begun = self._done = 0
        self.open_access: Access | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether it was ever read."""
        return self._done > 0

    @property
    def may_be_open(self) -> bool:
        """Whether nobody needs a token now, as far as is known."""
        return self._open_when_empty and not self._known

    def has_usable(self) -> bool:
        """Whether there is a token that is neither revoked nor expired."""
        return any(known.access.grant.refusal() is None for known in self._known.values())

    def find(self, token: str) -> Access | None:
        """Return what a token allows, or None for an unknown one; the access's grant may have ended."""
        token_id = public_id(token)
        known = None if token_id is None else self._known.get(token_id)
        if token_id is None or known is None or not hmac.compare_digest(known.digest, digest(token)):
            return None
        self.note_use(known.access)
        return known.access

    def note_use(self, access: Access) -> None:
        """Hear that a token was used just now."""
        if access.token_id is not None:
            self._uses[access.token_id] = time.monotonic()

    async def refresh(self) -> None:
        """Read all tokens; callers at the same time share a reading that began after each of them had called.

        Raises `DatabaseUnavailableError`; then what was known stays known.
        """
        begun = self._begun
        async with self._reading:
            if self._done > begun:
                return
            self._begun += 1
            async with self._database.session() as connection:
                rows = await queries.read_all(connection)
            self._take(rows)
            self._done = self._begun

    async def run(self) -> None:
        """Read anew, and note uses, until cancelled."""
        noted = grant.now()
        while True:
            # While the database is away others say so.
            with contextlib.suppress(DatabaseUnavailableError):
                await self.refresh()
                if grant.now() - noted >= USES_SECONDS:
                    await self._note_uses()
                    noted = grant.now()
            await asyncio.sleep(RELOAD_SECONDS)

    async def close(self) -> None:
        """Note the last uses, if that can be done at once."""
        with contextlib.suppress(DatabaseUnavailableError, TimeoutError):
            async with asyncio.timeout(LAST_WRITE_SECONDS):
                await self._note_uses()

    def _take(self, rows: list[Row]) -> None:
        before, self._known = self._known, {}
        for row in rows:
            token_id = row["id"].hex
            known = before.pop(token_id, None)
            if known is None or _state(known.row) != _state(row):
                if known is not None:
                    known.access.grant.end(_revoked(row) if row["revoked_at"] else _changed())
                known = _Known(row=row, digest=row["digest"], access=_access(row))
            elif row["seconds_left"] is not None and row["seconds_left"] <= 0:
                # Our clock stands still while the machine sleeps, that of the database may not.
                known.access.grant.end(_expired(row))
            self._known[token_id] = known
        for gone in before.values():
            gone.access.grant.end(unknown())
        if not self.may_be_open and self.open_access is not None:
            self.open_access.grant.end(missing())
            self.open_access = None
        elif self.may_be_open and self.open_access is None:
            self.open_access = Access(actor=LOCAL, scopes=OPEN)

    async def _note_uses(self) -> None:
        uses, self._uses = self._uses, {}
        if not uses:
            return
        ages = {UUID(token_id): time.monotonic() - at for token_id, at in uses.items()}
        async with self._database.session() as connection:
            await queries.note_uses(connection, ages)


def missing() -> Refused:
    """Return the 401 for a request without a token."""
    return Refused(
        "token_missing",
        "This needs a token: send `Authorization: Bearer TOKEN`. `ollama-fleet token create NAME --scope read` "
        "makes one, on the machine of the fleet.",
    )


def unknown() -> Refused:
    """Return the 401 for a token that is none of ours; whether its id is known is not told."""
    return Refused(
        "token_unknown",
        "The API does not know this token: send one as `Authorization: Bearer olf_…`, whole and as it was shown "
        "when it was made.",
    )


# Only whoever holds the whole secret is told of the two below, so they give nothing away.
def _revoked(row: Row) -> Refused:
    detail = f"The token {row['name']} was revoked. Whoever runs the fleet can give you a new one."
    return Refused("token_revoked", detail)


def _expired(row: Row) -> Refused:
    detail = f"The token {row['name']} has expired. Whoever runs the fleet can give you a new one."
    return Refused("token_expired", detail)


def _changed() -> Refused:
    detail = "What the token allows was changed meanwhile. Ask again."
    return Refused("token_changed", detail)


def _state(row: Row) -> tuple[object, ...]:
    return tuple(row[column] for column in ("name", "digest", "scopes", "expires_at", "revoked_at"))


def _access(row: Row) -> Access:
    left = row["seconds_left"]
    granted = Grant(deadline=None if left is None else grant.now() + left, expired=_expired(row))
    if row["revoked_at"] is not None:
        granted.end(_revoked(row))
    return Access(
        actor=row["name"],
        scopes=implied(Scope(scope) for scope in row["scopes"]),
        grant=granted,
        token_id=row["id"].hex,
    )
