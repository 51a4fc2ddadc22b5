"""Credentials at rest: AES-256-GCM, bound to the server, the kind and the address that they are for.

`auth_config` is `{"version": 1, "key": ID, "sealed": BASE64}`, and for an API key also the `header` it goes
in; `client_key` is the same for the private key of a client certificate. Sealed are a fresh nonce of 12 bytes and the
ciphertext of the secret parts; the associated data are all that is stored beside them and matters. So what was moved
to another row, or whose row was given another kind, header or origin, does not open. A client key is bound to its
server and kind alone: it only signs, so nobody at another address learns it.
"""

import base64
import binascii
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from monitor.credentials.key_ring import Key, KeyRing
from monitor.domain import credential as credentials
from monitor.domain import url as urls
from monitor.domain.credential import ApiKey, AuthType, Basic, Bearer, ClientKey, Credential, Unreadable
from monitor.domain.errors import InvalidUrlError

VERSION = 1
NONCE_BYTES = 12
# The kind of what is sealed, where it is no credential that is sent.
CLIENT_KEY = "client_key"

FOREIGN = Unreadable(
    why="The stored credential was sealed for another server, kind, header or address, or was changed. Set it anew."
)
MALFORMED = Unreadable(why="What is stored is no credential that this version can open. Set it anew.")
ABSENT = Unreadable(why="The server is to have a credential but none is stored. Set it, or auth_type none.")
NO_ADDRESS = Unreadable(why="The stored URL cannot be used, so it cannot be said whose the credential is.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A credential as its server's row holds it, and what it is bound to; there is no secret in it."""

    server_id: UUID
    url: str
    auth_type: str
    auth_config: Mapping[str, Any]

    @property
    def key_id(self) -> str | None:
        """The key that it was sealed with; None when nothing is sealed."""
        key_id = self.auth_config.get("key")
        return key_id if isinstance(key_id, str) else None


def seal(credential: Credential | ClientKey, *, server_id: UUID, url: str, key: Key) -> Sealed:
    """Seal a credential or a client key for a server at a normalised URL."""
    auth_type, secret, shown = _parts(credential)
    config = {"version": VERSION, "key": key.id} | shown
    nonce = secrets.token_bytes(NONCE_BYTES)
    bound = Sealed(server_id=server_id, url=url, auth_type=auth_type, auth_config=config)
    ciphertext = AESGCM(key.secret).encrypt(nonce, json.dumps(secret).encode(), _associated(bound))
    config["sealed"] = base64.b64encode(nonce + ciphertext).decode("ascii")
    return bound


def unseal(sealed: Sealed, *, find_key: Callable[[str], Key | None]) -> Credential | ClientKey | Unreadable:
    """Open a credential whose kind is not `none`; what hinders that is an answer, never an exception."""
    if sealed.key_id is None or sealed.auth_config.get("version") != VERSION:
        return MALFORMED if sealed.auth_config else ABSENT
    key = find_key(sealed.key_id)
    if key is None:
        return Unreadable(why=f"The key {sealed.key_id[:40]!a} is not in the key ring. Put it back, or set it anew.")
    return _opened(sealed, key)


def reseal(sealed: Sealed, ring: KeyRing) -> Sealed | None:
    """Seal the same credential anew with the first key of a ring; None when no key of it opens it."""
    credential = unseal(sealed, find_key=ring.get)
    if isinstance(credential, Unreadable):
        return None
    return seal(credential, server_id=sealed.server_id, url=sealed.url, key=ring.first)


def _opened(sealed: Sealed, key: Key) -> Credential | ClientKey | Unreadable:
    try:
        raw = base64.b64decode(sealed.auth_config.get("sealed", ""), validate=True)
        secret = AESGCM(key.secret).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _associated(sealed))
        return _credential(sealed, json.loads(secret))
    except InvalidTag:
        return FOREIGN
    except InvalidUrlError:
        return NO_ADDRESS
    except (binascii.Error, ValueError, TypeError, KeyError):
        return MALFORMED


def _parts(credential: Credential | ClientKey) -> tuple[str, dict[str, str], dict[str, str]]:
    match credential:
        case Basic():
            return AuthType.BASIC, {"username": credential.username, "password": credential.password}, {}
        case Bearer():
            return AuthType.BEARER, {"token": credential.token}, {}
        case ApiKey():
            return AuthType.API_KEY, {"key": credential.key}, {"header": credential.header}
        case ClientKey():
            return CLIENT_KEY, {"pem": credential.pem}, {}


def _credential(sealed: Sealed, secret: Mapping[str, str]) -> Credential | ClientKey | Unreadable:
    match sealed.auth_type:
        case AuthType.BASIC:
            return Basic(username=secret["username"], password=secret["password"])
        case AuthType.BEARER:
            return Bearer(token=secret["token"])
        case AuthType.API_KEY if credentials.is_usable_header(sealed.auth_config["header"]):
            return ApiKey(key=secret["key"], header=sealed.auth_config["header"])
        case kind if kind == CLIENT_KEY:
            return ClientKey(pem=secret["pem"])
        case _:
            return MALFORMED


def _associated(sealed: Sealed) -> bytes:
    """Return what a ciphertext is bound to; raises `InvalidUrlError` for a URL that was edited into none."""
    origin = None if sealed.auth_type == CLIENT_KEY else urls.origin(urls.normalize(sealed.url))
    header = sealed.auth_config.get("header")
    parts = [VERSION, str(sealed.server_id), str(sealed.auth_type), origin, header]
    return json.dumps(parts, separators=(",", ":")).encode()
