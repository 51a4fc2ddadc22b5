"""The root of the commands, and the table of those below it; `ollama-fleet --help` imports none of them."""

import os
from importlib import metadata
from pathlib import Path

import click
from click import shell_completion

from api.cli.groups import LazyGroup, Manual, Place

DISTRIBUTION = "ollama-fleet"
# What stands here of a command stands in its own file, too; a test compares the two.
PLACES = {
    "up": Place("programs:up", "Run everything in one process."),
    "monitor": Place("programs:monitor", "Run the monitor alone."),
    "api": Place("programs:api", "Run the API alone."),
    "migrate": Place("db:migrate", "Bring the database's schema up to date."),
    "status": Place("status:status", "Show what is wrong now, since when, why, and what to do."),
    "servers": Place(
        "servers.commands:servers",
        "List, add, change, remove, check and discover servers.",
        below=("list", "show", "add", "set", "remove", "check", "discover", "history"),
    ),
    "models": Place(
        "models:models",
        "List models, find one, switch one off or on.",
        below=("list", "where", "disable", "enable"),
    ),
    "resolve": Place("resolve:resolve", "Tell which server to take."),
    "events": Place("events:events", "Show what has happened, and what happens."),
    "import-env": Place("import_env:import_env", "Add the servers that a .env FILE names."),
    "token": Place(
        "tokens:token",
        "Make, list and revoke tokens of the API.",
        below=("create", "list", "revoke"),
    ),
    "keys": Place(
        "keys:keys",
        "Look after the keys of the credentials.",
        below=("create", "list", "rotate", "prune"),
    ),
    "db": Place(
        "db:db",
        "Reach the database: address, psql, dump, stop.",
        below=("uri", "psql", "dump", "stop"),
    ),
    "doctor": Place("doctor.commands:doctor", "Look at everything that has to work, and say what to do."),
    "completion": Place("commands:completion", "Print a script that teaches SHELL to complete our commands."),
}
COMPLETE_VARIABLE = "_OLLAMA_FLEET_COMPLETE"
PROGRAM = "ollama-fleet"
SHELLS = ("bash", "zsh", "fish")


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    try:
        version = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        version = "(not installed)"
    click.echo(f"ollama-fleet {version}")
    context.exit()


@click.group(
    cls=LazyGroup,
    places=PLACES,
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
    context.obj = config


@click.command(
    cls=Manual, epilog="Example: ollama-fleet completion bash > ~/.local/share/bash-completion/completions/ollama-fleet"
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that teaches SHELL to complete our commands.

    Put it where the shell looks for such scripts, or `eval "$(ollama-fleet completion bash)"` in its start file.
    """
    kind = shell_completion.get_completion_class(shell)
    assert kind is not None  # click knows each of SHELLS.
    click.echo(kind(context.find_root().command, {}, PROGRAM, COMPLETE_VARIABLE).source())


def answer_shell(group: click.Group) -> int | None:
    """Answer a shell that asks what may follow; None when none asks. Returns the exit code."""
    instruction = os.environ.get(COMPLETE_VARIABLE)
    if instruction is None:
        return None
    return shell_completion.shell_complete(group, {}, PROGRAM, COMPLETE_VARIABLE, instruction)
