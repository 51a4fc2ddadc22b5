"""How the embedded server is started: command line and account, as one value to hand to another process."""

import json
from dataclasses import asdict, dataclass

from monitor.embedded import account, binaries, state_folder

# On the command line, where no file edited for an older release can contradict them.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "wal_compression": "on",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    # Statements carry credentials in their parameters: none of them may reach the log.
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_line_prefix": "%m [%p] ",
    "log_destination": "stderr",
    "logging_collector": "off",
}
_FAST_AND_UNSAFE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPlan:
    """All that is needed to start the server again, at any time, without asking anybody."""

    command: list[str]
    owner: account.Account

    def to_json(self) -> str:
        """As text, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "StartPlan":
        """The plan that `to_json` wrote."""
        values = json.loads(text)
        return cls(command=values["command"], owner=account.Account(**values["owner"]))


def make(
    folder: state_folder.StateFolder, *, programs: binaries.Binaries, owner: account.Account, safe: bool
) -> StartPlan:
    """The plan for one state folder; `programs` are ones that the owner can execute."""
    # A list in PostgreSQL's own syntax, in which quotes keep spaces and double quotes are doubled.
    quoted = str(folder.socket_dir).replace('"', '""')
    settings = {**_SETTINGS, "unix_socket_directories": f'"{quoted}"', **({} if safe else _FAST_AND_UNSAFE)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return StartPlan(command=[str(programs.postgres), "-D", str(folder.data_dir), *options], owner=owner)
