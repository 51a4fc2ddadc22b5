"""Every setting of the fleet, from `OLLAMA_FLEET_…` variables or a TOML file: unit, default, reason.

Nonsense and misspelt names are refused at the start, because a setting that is silently ignored is
found out at the worst moment.
"""

import difflib
import os
import pwd
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from monitor import permission, refusals
from monitor.domain import url
from monitor.domain.errors import ConfigurationError
from monitor.domain.server import Policy
from monitor.durations import Duration

PREFIX = "OLLAMA_FLEET_"
CENTURY = timedelta(days=36_500)


def _split_commas(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split_commas)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_split_commas)]


TlsName = Annotated[str, AfterValidator(url.host_name)]


class LogFormat(StrEnum):
    """How log lines look; `auto` is `json` unless a person looks on at a terminal."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """The least important line that is still written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def default_state_dir() -> Path:
    """Return /var/lib/ollama-fleet for root, since its home is closed to PostgreSQL's user; else the XDG place."""
    if os.geteuid() == 0:
        return Path("/var/lib/ollama-fleet")
    home = os.environ.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir
    return Path(os.environ.get("XDG_STATE_HOME") or Path(home) / ".local" / "state") / "ollama-fleet"


class Settings(BaseSettings):
    """All settings. A name in the environment is the field's name in capitals after `OLLAMA_FLEET_`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, enable_decoding=False)

    database_url: str | None = Field(
        default=None,
        description="postgresql://user:password@host/database. Default: the embedded PostgreSQL of STATE_DIR.",
    )
    listen_database_url: str | None = Field(
        default=None,
        description="Address for LISTEN, when DATABASE_URL goes through a transaction pooler, which drops it.",
    )
    state_dir: Path = Field(
        default_factory=default_state_dir,
        description="Folder of the embedded PostgreSQL. Root: /var/lib/ollama-fleet, else ~/.local/state/ollama-fleet.",
    )
    keyring_file: Path | None = Field(default=None, description="The keys of the credentials; see `ollama-fleet keys`.")
    api_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address the API listens on; only this machine by default. Another one needs an API token.",
    )
    api_hostnames: Names = Field(
        default=(),
        description="Names that others ask the API by, as of a proxy, separated by commas. It then needs an API token.",
    )
    api_port: int = Field(default=8420, ge=0, le=65_535, description="Port of the API; 0 takes any free one.")
    api_url: Annotated[str, AfterValidator(url.normalize)] | None = Field(
        default=None,
        description="Address of an API elsewhere that the commands of this machine ask. Default: the database itself.",
    )
    api_token: SecretStr | None = Field(
        default=None,
        description="Token for the API of API_URL, of `ollama-fleet token create`; default none.",
    )
    check_interval: Duration = Field(
        default=timedelta(seconds=15),
        ge=timedelta(seconds=0.1),
        le=timedelta(days=1),
        description="Time between two checks of a server; a crash between them shows at the next one.",
    )
    check_timeout: Duration = Field(
        default=timedelta(seconds=5),
        ge=timedelta(seconds=0.1),
        le=timedelta(minutes=5),
        description="Time for a whole probe, name look-up included; a busy GPU box answers well within it.",
    )
    discovery_interval: Duration = Field(
        default=timedelta(seconds=60),
        ge=timedelta(seconds=1),
        le=timedelta(days=1),
        description="Time between two listings of a server's models; Ollama reads all manifests for each.",
    )
    rise: int = Field(default=2, ge=1, le=100, description="Good probes in a row that bring a server back up.")
    fall: int = Field(default=3, ge=1, le=100, description="Bad probes in a row that take a server down.")
    max_concurrent_checks: int = Field(
        default=1000, ge=1, le=100_000, description="Most probes under way at once; each takes a file descriptor."
    )
    connection_watch: bool = Field(
        default=True,
        description="Hold an idle connection to each server, whose end tells of a crash at once; costs a descriptor.",
    )
    max_list_bytes: int = Field(
        default=2 * 1024 * 1024,
        ge=64 * 1024,
        le=1024 * 1024 * 1024,
        description="Most bytes read of a list of models; a longer one counts as failed, so that none eats our memory.",
    )
    allowed_networks: Networks = Field(
        default=(),
        description="Networks that servers may be in, separated by commas. Default: all but metadata and link-local.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="Authorities (a PEM file) to trust beside the system's, for servers without a ca_pem of their own.",
    )
    client_cert: Path | None = Field(
        default=None,
        description="Client certificate (a PEM file) to show to servers that ask for one and have none of their own.",
    )
    client_key: Path | None = Field(
        default=None,
        description="Its private key (a PEM file without a passphrase), which only the monitor need be able to read.",
    )
    tls_server_name: TlsName | None = Field(
        default=None, description="Name that certificates must have, in place of each URL's host; default none."
    )
    event_retention: Duration = Field(
        default=timedelta(days=7),
        ge=timedelta(minutes=1),
        le=CENTURY,
        description="Age at which events are deleted; a subscriber away for longer has to start from a snapshot.",
    )
    event_retention_bytes: int = Field(
        default=2 * 1024**3,
        ge=1024**2,
        le=1024**4,
        description="Bytes of events beyond which the oldest are deleted, whatever their age: a week of 1,000 servers.",
    )
    import_env: Path | None = Field(
        default=None,
        description="A .env file from which `up` takes servers at its first start, while there never was a server.",
    )
    history_retention: Duration = Field(
        default=timedelta(days=400), ge=timedelta(days=31), le=CENTURY, description="Age at which history is deleted."
    )
    log_format: LogFormat = Field(default=LogFormat.AUTO, description="auto, json or text.")
    log_level: LogLevel = Field(default=LogLevel.INFO, description="debug, info, warning or error.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what `load` hands over and nothing else: it has read the environment already."""
        return (init_settings,)

    @model_validator(mode="after")
    def _timeout_fits_interval(self) -> "Settings":
        if self.check_timeout > self.check_interval * 10:
            raise ValueError("CHECK_TIMEOUT is more than ten times CHECK_INTERVAL; make it shorter")
        return self

    @model_validator(mode="after")
    def _client_certificate_has_its_key(self) -> "Settings":
        if (self.client_cert is None) is not (self.client_key is None):
            raise ValueError("CLIENT_CERT and CLIENT_KEY go together; set both, or neither")
        return self

    @property
    def policy(self) -> Policy:
        """The check policy of servers that override nothing."""
        return Policy(interval=self.check_interval, timeout=self.check_timeout, rise=self.rise, fall=self.fall)

    def required_database_url(self) -> str:
        """Return the address of the database for a process that runs none itself."""
        if self.database_url is None:
            raise ConfigurationError(
                f"{PREFIX}DATABASE_URL is not set, and this process alone runs no database. Set it, or use "
                "`ollama-fleet up`, which brings its own PostgreSQL."
            )
        return self.database_url


def load(config: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; a variable wins over the file.

    Raises `ConfigurationError` naming the setting, what is wrong with it, and the nearest known name.
    """
    environ = os.environ if environ is None else environ
    given: dict[str, Any] = {} if config is None else _read_file(config)
    for variable, value in environ.items():
        if variable.startswith(PREFIX):
            given[_field(variable)] = value
    for name, value in given.items():
        if value == "":
            raise ConfigurationError(f"{PREFIX}{name.upper()} is empty; give it a value or remove it.")
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = _place(str(first["loc"][0]), config, environ) if first["loc"] else "The settings"
        what = refusals.words(first)
        sentence = f"it {what}" if what.startswith("must ") else what
        raise ConfigurationError(f"{where} cannot be used: {sentence}.") from error


def _place(name: str, config: Path | None, environ: Mapping[str, str]) -> str:
    """Return the setting as it is written where its value comes from."""
    variable = PREFIX + name.upper()
    is_in_file = config is not None and variable not in {given.upper() for given in environ}
    return f"{name} in {config}" if is_in_file else variable


def _field(variable: str) -> str:
    name = variable.removeprefix(PREFIX).lower()
    if name not in Settings.model_fields:
        near = _nearest(name)
        hint = f"Did you mean {PREFIX}{near.upper()}?" if near else "See the settings in deploy/docs/settings.md."
        raise ConfigurationError(f"{variable} is not a setting of ollama-fleet. {hint}")
    return name


def _read_file(config: Path) -> dict[str, Any]:
    try:
        with config.open("rb") as file:
            given = tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(_unreadable(config, error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The configuration file {config} is not valid TOML: {error}.") from error
    for name in given:
        if name not in Settings.model_fields:
            near = _nearest(name.lower())
            hint = f"Did you mean {near}?" if near else "See the settings in deploy/docs/settings.md."
            raise ConfigurationError(f"{name} in {config} is not a setting of ollama-fleet. {hint}")
    return given


def _unreadable(config: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        next_ = f"{permission.way_out(config)}, or let {permission.user()} read it."
    else:
        next_ = "Give --config the path of a file that is there, or leave it out."
    return f"The configuration file {config} cannot be read: {error.strerror}. {next_}"


def _nearest(name: str) -> str | None:
    return next(iter(difflib.get_close_matches(name, Settings.model_fields, n=1)), None)
