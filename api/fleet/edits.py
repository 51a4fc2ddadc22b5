"""What an edit makes of a server's columns: pure, and told apart from where the columns are kept."""

from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from api.fleet import credentials as authentication
from api.fleet import refusals, texts
from api.fleet.credentials import Auth
from api.fleet.queries.servers import EDITABLE
from api.fleet.refusals import Next, Refused
from api.fleet.schemas import ServerCreate, ServerPatch
from api.fleet.views import Notice
from monitor.credentials import certificates
from monitor.credentials.certificates import Certificate
from monitor.credentials.sealing import Sealed
from monitor.domain import url
from monitor.domain.credential import ClientKey, Credential
from monitor.domain.errors import InvalidPemError, InvalidUrlError
from monitor.ollama import guard
from monitor.ollama.guard import Network
from monitor.postgres.database import Row, Values

CREDENTIAL_DROPPED, CERTIFICATE_EXPIRED = "credential_dropped", "certificate_expired"
DROPPED = (
    "The URL names another scheme, host or port, so the credential for the one before was removed: "
    "it is not for everybody. Send `auth` with the URL to give the server one."
)
NO_CREDENTIAL = {"auth_type": "none", "auth_config": {}}
# What is given in the clear and stored in another form.
SEALED = {"auth", "client_key"}


class Seal(Protocol):
    """Seals a credential or the client key of the server that is edited."""

    def __call__(self, credential: Credential | ClientKey, *, url: str) -> Sealed:
        """Bind a credential to the origin of the server's URL, a client key to the server."""
        ...


def created(new: ServerCreate, *, seal: Seal) -> dict[str, Any]:
    """Return the columns of a new server."""
    certificate = _client_certificate(None, new, new.client_cert, seal=seal, server_url=new.url)
    return new.model_dump(exclude=SEALED) | _sealed(new.auth, new.url, seal) | certificate


def replaced(current: Row, new: ServerCreate, *, seal: Seal) -> dict[str, Any]:
    """Return the columns after PUT: what is left out gets its default, but the credential stays with its origin."""
    is_given = "auth" in new.model_fields_set
    credential = _sealed(new.auth, new.url, seal) if is_given else _kept(current, new.url)
    certificate = _client_certificate(current, new, new.client_cert, seal=seal, server_url=new.url)
    return new.model_dump(exclude=SEALED) | credential | certificate


def patched(current: Row, patch: ServerPatch, *, seal: Seal) -> dict[str, Any]:
    """Return the columns after a JSON merge patch (RFC 7396); the credential stays with its origin."""
    columns = {column: current[column] for column in EDITABLE}
    for field in patch.model_fields_set - SEALED:
        value = getattr(patch, field)
        if value is None:
            columns[field] = ServerCreate.model_fields[field].get_default(call_default_factory=True, validated_data={})
        elif field == "labels":
            columns[field] = _merged(current["labels"], value)
        else:
            columns[field] = value
    server_url = columns["url"]
    is_given = "auth" in patch.model_fields_set
    credential = _sealed(patch.auth, server_url, seal) if is_given else _kept(current, server_url)
    certificate = _client_certificate(current, patch, columns["client_cert"], seal=seal, server_url=server_url)
    return columns | credential | certificate


def notices(current: Row | None, edit: ServerCreate | ServerPatch, *, values: Values, at: datetime) -> list[Notice]:
    """Return what an edit at a time did that was not asked for, and what was given that will not do."""
    found = [
        Notice(code=CERTIFICATE_EXPIRED, detail=_expired(field, each))
        for field in ("ca_pem", "client_cert")
        if field in edit.model_fields_set and values[field] is not None
        for each in certificates.read(values[field])
        if each.expires_at <= at
    ]
    lost = current is not None and current["auth_type"] != "none" and values["auth_type"] == "none"
    if lost and "auth" not in edit.model_fields_set:
        found.append(Notice(code=CREDENTIAL_DROPPED, detail=DROPPED))
    return found


def require(current: Row | None, server_id: UUID, *, if_match: int | None) -> Row:
    """Return the server's row; raises the `Refused` if there is none, or if it is not at the row version wanted."""
    if current is None:
        raise server_not_found(server_id)
    if if_match is not None and current["row_version"] != if_match:
        raise Refused(
            "precondition_failed",
            f"The server is at row version {current['row_version']} now, not at the one that the edit is for: somebody "
            "edited it meanwhile. Read it again and repeat the edit.",
            row_version=current["row_version"],
        )
    return current


def server_not_found(reference: object) -> Refused:
    """Return the refusal for a server that is not there."""
    given = str(reference)[:100]
    return Refused("server_not_found", f"There is no server {given!r}.", next=Next.LIST_SERVERS, reference=given)


def taken(field: str, value: str | None, taker: Row | None) -> Refused:
    """Return the refusal of a name or URL that another server has; `taker` is its id, name and URL."""
    what, other = ("URL", "name") if field == "url" else ("name", "url")
    who = "(just deleted)" if taker is None else f"{taker[other]} ({taker['id']})"
    return Refused(
        f"{field}_taken",
        f"The {what} {value!r} is taken by server {who}. Edit that one, or choose another {what}.",
        existing_id=None if taker is None else str(taker["id"]),
    )


def model_not_found(model_name: str) -> Refused:
    """Return the refusal for a model of a server that is there."""
    return Refused(
        "model_not_found",
        f"The server has no model {model_name[:100]!r}.",
        next=Next.LIST_MODELS_OF_SERVER,
        model=model_name[:100],
    )


def require_allowed_address(server_url: str | None, allowed: tuple[Network, ...], *, field: str = "url") -> None:
    """Raise the `Refused` for a URL that names an address which the monitor would never connect to."""
    address = None if server_url is None else url.literal_address(server_url)
    refusal = None if address is None else guard.check(address, allowed)
    if refusal is not None:
        raise refusals.invalid_field(field, f"the address {address} is {refusal}, so it is not allowed")


def _sealed(auth: Auth | None, server_url: str, seal: Seal) -> dict[str, Any]:
    credential = authentication.credential(auth)
    if credential is None:
        return NO_CREDENTIAL
    sealed = seal(credential, url=server_url)
    return {"auth_type": sealed.auth_type, "auth_config": sealed.auth_config}


def _client_certificate(
    current: Row | None, edit: ServerCreate | ServerPatch, client_cert: str | None, *, seal: Seal, server_url: str
) -> dict[str, Any]:
    """Return the columns of a certificate, with the key that is given or, if it stays, the stored one."""
    if client_cert is None:
        if edit.client_key is not None:
            raise refusals.invalid_field("client_key", "goes with client_cert, which is not given")
        return {"client_cert": None, "client_key": None}
    if edit.client_key is None:
        stays = current is not None and current["client_cert"] == client_cert
        if not stays or "client_key" in edit.model_fields_set:
            raise refusals.invalid_field("client_key", "goes with client_cert: give both, or set both to null")
        return {"client_cert": client_cert, "client_key": current and current["client_key"]}
    key = ClientKey(pem=edit.client_key.get_secret_value())
    try:
        certificates.require_pair(client_cert, key)
    except InvalidPemError as error:
        raise refusals.invalid_field("client_key", str(error)) from None
    return {"client_cert": client_cert, "client_key": seal(key, url=server_url).auth_config}


def _expired(field: str, found: Certificate) -> str:
    return (
        f"The certificate of {found.subject} in {field} expired on {found.expires_at:%Y-%m-%d}, so connections that "
        "need it will fail. Give a newer one."
    )


def _kept(current: Row, server_url: str) -> dict[str, Any]:
    """Return the stored credential, or none where the URL is another party's now."""
    try:
        # One that was written by hand may be spelt in another way than ours, or be none at all.
        stays = current["url"] == server_url or url.origin(url.normalize(current["url"])) == url.origin(server_url)
    except InvalidUrlError:
        # Nobody can say whose the credential was.
        stays = False
    return {column: current[column] for column in NO_CREDENTIAL} if stays else NO_CREDENTIAL


def _merged(current: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    labels: dict[str, str | None] = current | changes  # type: ignore[operator]
    kept = {key: value for key, value in labels.items() if value is not None}
    if len(kept) > texts.MAX_LABELS:
        raise refusals.invalid_field(
            "labels", f"with the {len(current)} that are there it would be more than {texts.MAX_LABELS}"
        )
    return kept
