"""The keys that seal credentials: the first one writes, all of them read.

As text a line per key, for a person to read and edit: the key's id, a colon, 32 bytes in base64, and when
the key was made, if that is known. The id is worked out from the key, so a key that was mistyped shows.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime

from monitor.domain.credential import Guarded

KEY_BYTES = 32
ID_LENGTH = 16
MOST_KEYS = 1000
HEAD = """\
# Key ring of ollama-fleet: what opens the credentials of the servers. The first key seals, all of them open.
# Whoever has this file and the database has the credentials; without it nobody has. Keep a copy apart from both.
# Each line: the key's id, a colon, the key, and when it was made.
"""


class KeyRingSyntaxError(ValueError):
    """The text is no key ring; the message says why, and never what stands there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(Guarded):
    """One key; `made_at` is None when nobody wrote it down."""

    secret: bytes = field(repr=False)
    made_at: datetime | None = None

    @property
    def id(self) -> str:
        """What names the key without telling it."""
        return hmac.digest(self.secret, b"ollama-fleet key id", "sha256").hex()[:ID_LENGTH]


@dataclass(frozen=True, slots=True)
class KeyRing:
    """At least one key, in the order of the file."""

    keys: tuple[Key, ...]

    @property
    def first(self) -> Key:
        """The key that seals."""
        return self.keys[0]

    def get(self, key_id: str) -> Key | None:
        """Return the key with this id."""
        return next((key for key in self.keys if key.id == key_id), None)


def new_key(*, at: datetime) -> Key:
    """Return a key that nobody knows."""
    return Key(secret=secrets.token_bytes(KEY_BYTES), made_at=at.astimezone(UTC).replace(microsecond=0))


def parse(text: str) -> KeyRing:
    """Read a ring; raises `KeyRingSyntaxError`, which names the line."""
    keys = tuple(_keys(text))
    if not keys:
        raise KeyRingSyntaxError("it holds no key")
    if len(keys) > MOST_KEYS:
        raise KeyRingSyntaxError(f"it holds more than {MOST_KEYS} keys")
    if len({key.id for key in keys}) != len(keys):
        raise KeyRingSyntaxError("it holds the same key twice")
    return KeyRing(keys)


def first_text(key: Key) -> str:
    """Return the text of a ring with this one key."""
    return f"{HEAD}{_line(key)}\n"


def with_first(text: str, key: Key) -> str:
    """Return the text of a ring with one key more, which seals from now on; comments stay where they are."""
    lines = text.splitlines()
    place = next(number for number, line in enumerate(lines) if _words(line))
    return "".join(f"{line}\n" for line in [*lines[:place], _line(key), *lines[place:]])


def without(text: str, key_ids: Set[str]) -> str:
    """Return the text of a ring without the lines of some keys."""
    kept = (line for line in text.splitlines() if not (_words(line) and _words(line)[0].partition(":")[0] in key_ids))
    return "".join(f"{line}\n" for line in kept)


def _words(line: str) -> list[str]:
    return line.partition("#")[0].split()


def _keys(text: str) -> Iterator[Key]:
    for number, line in enumerate(text.splitlines(), 1):
        words = _words(line)
        if words:
            try:
                yield _key(*words)
            except (TypeError, ValueError) as error:
                why = str(error) if isinstance(error, KeyRingSyntaxError) else "it is not of the form ID:KEY TIME"
                # Without the cause, which may repeat what stands there.
                raise KeyRingSyntaxError(f"line {number} is no key: {why}") from None


def _key(named: str, made_at: str | None = None) -> Key:
    key_id, _, encoded = named.partition(":")
    try:
        secret = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise KeyRingSyntaxError("what stands after the colon is not base64") from None
    if len(secret) != KEY_BYTES:
        raise KeyRingSyntaxError(f"it has {len(secret)} bytes after the colon, not {KEY_BYTES}")
    key = Key(secret=secret, made_at=None if made_at is None else datetime.fromisoformat(made_at).astimezone(UTC))
    if key.id != key_id:
        raise KeyRingSyntaxError("its id belongs to another key, so one of the two was changed")
    return key


def _line(key: Key) -> str:
    made_at = "" if key.made_at is None else f" {key.made_at:%Y-%m-%dT%H:%M:%SZ}"
    return f"{key.id}:{base64.b64encode(key.secret).decode('ascii')}{made_at}"
