"""What the API takes: strict shapes without surprises. Their field names are the columns' names."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from api.fleet import texts
from api.fleet.credentials import AuthInput, Secret
from api.fleet.filters import Extra, Label, Session
from api.fleet.texts import Strict
from monitor.credentials import certificates
from monitor.domain import url
from monitor.domain.selection import MOST_CANDIDATES
from monitor.domain.server import AUTO, Api

REQUIRED = frozenset({"name", "url"})


def _key(value: SecretStr) -> SecretStr:
    return SecretStr(certificates.read_key(value.get_secret_value()).pem)


Url = Annotated[str, AfterValidator(url.normalize)]
Certificates = Annotated[str, Field(max_length=certificates.MAX_PEM), AfterValidator(certificates.tidy)]
PrivateKey = Annotated[Secret, Field(max_length=certificates.MAX_PEM), AfterValidator(_key)]
TlsName = Annotated[str, AfterValidator(url.host_name)]


class ServerCreate(Strict):
    """A whole server as POST and PUT take it; `url` is stored normalised. Seconds override the settings.

    `ca_pem` are the only authorities that may vouch for it, `client_cert` and `client_key` are for a server that asks
    for a certificate, and `tls_server_name` is the name in its own. PUT keeps the key of a certificate that stays.
    `api` pins what the server is asked on, `native` (Ollama's own) or `openai`; `auto` has it found out.
    """

    name: texts.Name
    url: Url
    api_version: texts.ApiVersion = "v1"
    api: texts.ApiChoice = AUTO
    auth: AuthInput | None = None
    is_active: bool = True
    is_default: bool = False
    capabilities: texts.Capabilities = Field(default_factory=list)
    max_concurrent: texts.Slots = 1
    priority: texts.Priority = 0
    labels: texts.Labels = Field(default_factory=dict)
    check_interval_seconds: texts.IntervalSeconds | None = None
    check_timeout_seconds: texts.TimeoutSeconds | None = None
    rise: texts.Streak | None = None
    fall: texts.Streak | None = None
    connection_watch: bool = True
    site: texts.Site | None = None
    ca_pem: Certificates | None = None
    client_cert: Certificates | None = None
    client_key: PrivateKey | None = None
    tls_server_name: TlsName | None = None


class ServerReplace(ServerCreate):
    """A whole server as PUT takes it: what is left out gets its default, but `auth` stays while the origin does."""


class ServerPatch(Strict):
    """A JSON merge patch (RFC 7396) of a server: null gives a field its default, and removes a label.

    `auth` is given as a whole, since nobody can read what it would be merged with.
    """

    name: texts.Name | None = None
    url: Url | None = None
    api_version: texts.ApiVersion | None = None
    api: texts.ApiChoice | None = None
    auth: AuthInput | None = None
    is_active: bool | None = None
    is_default: bool | None = None
    capabilities: texts.Capabilities | None = None
    max_concurrent: texts.Slots | None = None
    priority: texts.Priority | None = None
    labels: Annotated[dict[texts.LabelKey, texts.LabelValue | None], Field(max_length=texts.MAX_LABELS)] | None = None
    check_interval_seconds: texts.IntervalSeconds | None = None
    check_timeout_seconds: texts.TimeoutSeconds | None = None
    rise: texts.Streak | None = None
    fall: texts.Streak | None = None
    connection_watch: bool | None = None
    site: texts.Site | None = None
    ca_pem: Certificates | None = None
    client_cert: Certificates | None = None
    client_key: PrivateKey | None = None
    tls_server_name: TlsName | None = None

    @model_validator(mode="after")
    def _keeps_what_is_required(self) -> "ServerPatch":
        for field in sorted(REQUIRED & self.model_fields_set):
            if getattr(self, field) is None:
                raise ValueError(f"{field} cannot be removed; give a new one or leave it out")
        return self


class ModelPatch(Strict):
    """A JSON merge patch of a model by the operator.

    null gives back what discovery says: the listed name, the listed capabilities, active.
    """

    is_active: bool | None = None
    name: texts.ModelTitle | None = None
    capabilities: texts.Capabilities | None = None


class ResolveBody(Strict):
    """What `POST /api/resolve` takes; the same as the parameters of GET."""

    server_url: str | None = None
    model: str | None = None
    session: Session | None = None
    candidates: Annotated[int, Field(ge=1, le=MOST_CANDIDATES)] = 1
    label: list[Annotated[Label, Field(strict=False)]] = Field(default_factory=list, max_length=20)
    site: texts.Site | None = None
    capability: list[texts.Capability] = Field(default_factory=list, max_length=20)
    api: Annotated[Api, Field(strict=False)] | None = None
    explain: bool = False
    cloud: bool = False
    include: list[Annotated[Extra, Field(strict=False)]] = Field(default_factory=list, max_length=5)
