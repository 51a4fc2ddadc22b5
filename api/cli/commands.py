"""The tree of commands. Nothing here may be slow to import: `--help` waits for all of it."""

from collections.abc import Iterable
from pathlib import Path

import click

from api.cli import completion
from api.cli.access.key_commands import keys
from api.cli.access.token_commands import token
from api.cli.db import db
from api.cli.doctor.commands import doctor
from api.cli.events.commands import events
from api.cli.groups import OrderedGroup
from api.cli.importing.commands import import_env
from api.cli.invocation import Invocation
from api.cli.models.commands import models
from api.cli.processes.commands import COMMANDS as PROCESSES
from api.cli.resolve.commands import resolve
from api.cli.servers.commands import servers
from api.cli.servers.history_commands import history
from api.cli.status.commands import status

DISTRIBUTION = "ollama-fleet"


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from importlib import metadata  # noqa: PLC0415  (only needed here)

    try:
        version = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        version = "(not installed)"
    click.echo(f"ollama-fleet {version}")
    context.exit()


def _add_all(group: click.Group, commands: Iterable[click.Command]) -> None:
    for command in commands:
        group.add_command(command)


@click.group(
    cls=OrderedGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with: ollama-fleet up\nAll of one command: ollama-fleet COMMAND --help",
)
@click.option(
    "--config",
    # Whether it can be read is told with whose it is, and ends with 78 like all that is wrong with it.
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Settings from a TOML file, such as `api_port = 8421`; OLLAMA_FLEET_… variables win over it.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def ollama_fleet(context: click.Context, config: Path | None) -> None:
    """Keep a fleet of Ollama servers true in PostgreSQL: their health, their models, every change.

    The commands work on the database itself (OLLAMA_FLEET_DATABASE_URL, else the embedded PostgreSQL of
    OLLAMA_FLEET_STATE_DIR), so they need no running API; or on a fleet elsewhere by its API, with
    OLLAMA_FLEET_API_URL and OLLAMA_FLEET_API_TOKEN.

    Ends with 0 when it is done, 1 when it failed or what it looked at is not well, 2 after wrong usage, 78 after a
    wrong setting.
    """
    context.obj = Invocation(config)


_add_all(ollama_fleet, PROCESSES)
_add_all(
    ollama_fleet,
    [
        status,
        servers,
        models,
        resolve,
        events,
        import_env,
        token,
        keys,
        db,
        doctor,
        completion.completion,
    ],
)
_add_all(servers, [history])
