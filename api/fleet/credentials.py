"""`auth` of a server as the API takes it: written and never read back, so its secrets show in nothing here.

Whatever is wrong with it is told without repeating a value, or the name of a member that nobody knows: a
person in a hurry may have put the secret there.
"""

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Discriminator, Field, PlainSerializer, SecretStr, SerializationInfo, Tag

from api.fleet import texts
from api.fleet.texts import Strict
from monitor.domain import credential as credentials
from monitor.domain.credential import ApiKey, AuthType, Basic, Bearer, Credential

MAX_SECRET = 4096
MAX_NAME = 256
MEMBERS = frozenset({"type", "username", "password", "token", "key", "header"})
UNKNOWN = "unknown"
# The context in which a credential is written out: on its way to an API elsewhere.
REVEALING = {"reveals": "credentials"}
VISIBLE = re.compile(r"[\x21-\x7e]+")
VISIBLE_OR_BLANK = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


def _token(value: SecretStr) -> SecretStr:
    if VISIBLE.fullmatch(value.get_secret_value()) is None:
        raise ValueError("must be visible ASCII characters without blanks, as they go into a header")
    return value


def _key(value: SecretStr) -> SecretStr:
    if VISIBLE_OR_BLANK.fullmatch(value.get_secret_value()) is None:
        raise ValueError("must be ASCII without control characters or blanks around it, as it goes into a header")
    return value


def _usable(value: SecretStr) -> SecretStr:
    if not texts.is_usable(value.get_secret_value()):
        raise ValueError("must not contain control characters or line breaks")
    return value


def _username(value: SecretStr) -> SecretStr:
    if ":" in value.get_secret_value():
        raise ValueError("must not contain a colon, which ends the user name (RFC 7617)")
    return _usable(value)


def _header(value: str) -> str:
    if not credentials.is_usable_header(value):
        raise ValueError(
            "must be the name of a header that a key can go into, such as X-API-Key: at most "
            f"{credentials.MAX_HEADER_LENGTH} letters, digits and dashes, and not Host, Cookie or the like"
        )
    return value


def _written(value: SecretStr, info: SerializationInfo) -> str:
    return value.get_secret_value() if info.context == REVEALING else str(value)


Secret = Annotated[SecretStr, PlainSerializer(_written, when_used="json")]


class NoAuth(Strict):
    """No credential; one that is stored is removed."""

    type: Literal["none"]


class BasicAuth(Strict):
    """User name and password (RFC 7617); an empty password is one."""

    type: Literal["basic"]
    username: Annotated[Secret, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_username)]
    password: Annotated[Secret, Field(max_length=MAX_SECRET), AfterValidator(_usable)]


class BearerAuth(Strict):
    """A token (RFC 6750)."""

    type: Literal["bearer"]
    token: Annotated[Secret, Field(min_length=1, max_length=MAX_SECRET), AfterValidator(_token)]


class ApiKeyAuth(Strict):
    """A key in a header of its own."""

    type: Literal["api_key"]
    key: Annotated[Secret, Field(min_length=1, max_length=MAX_SECRET), AfterValidator(_key)]
    header: Annotated[str, AfterValidator(_header)] = credentials.DEFAULT_HEADER


Auth: TypeAlias = NoAuth | BasicAuth | BearerAuth | ApiKeyAuth


def _kind(value: Any) -> str | None:
    found = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return found if isinstance(found, str) else None


# The library's own words for a kind that is not there would repeat it.
AuthInput = Annotated[
    Annotated[NoAuth, Tag(AuthType.NONE.value)]
    | Annotated[BasicAuth, Tag(AuthType.BASIC.value)]
    | Annotated[BearerAuth, Tag(AuthType.BEARER.value)]
    | Annotated[ApiKeyAuth, Tag(AuthType.API_KEY.value)],
    Discriminator(
        _kind,
        custom_error_type="auth_type",
        custom_error_message="must be an object whose type is none, basic, bearer or api_key",
    ),
]


def credential(auth: Auth | None) -> Credential | None:
    """Return the credential that was given, None for none."""
    match auth:
        case None | NoAuth():
            return None
        case BasicAuth():
            return Basic(username=auth.username.get_secret_value(), password=auth.password.get_secret_value())
        case BearerAuth():
            return Bearer(token=auth.token.get_secret_value())
        case ApiKeyAuth():
            return ApiKey(key=auth.key.get_secret_value(), header=auth.header)


def location(parts: tuple[int | str, ...]) -> tuple[str, ...]:
    """Return where in `auth` an error is, without the kind, which is in the request, and without unknown names."""
    first, *rest = parts
    names = [str(part) for part in rest if part not in set(AuthType)]
    return (str(first), *(name if name in MEMBERS else UNKNOWN for name in names))
