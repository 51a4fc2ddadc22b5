"""What a person may have meant by a command or an option that is not there: other tools have other words for it."""

import difflib
from collections.abc import Collection, Mapping

import click

# Words of other tools, and ours for them; what has several is told by what the group has.
ALSO_CALLED: Mapping[str, tuple[str, ...]] = {
    "change": ("set",),
    "create": ("add",),
    "del": ("remove", "revoke"),
    "delete": ("remove", "revoke"),
    "describe": ("show",),
    "edit": ("set",),
    "find": ("where",),
    "get": ("show", "list"),
    "import": ("import-env",),
    "info": ("show",),
    "log": ("events",),
    "logs": ("events",),
    "ls": ("list",),
    "new": ("add", "create"),
    "ping": ("check",),
    "probe": ("check",),
    "rm": ("remove", "revoke"),
    "run": ("up",),
    "serve": ("up",),
    "show": ("list",),
    "start": ("up",),
    "test": ("check",),
    "update": ("set",),
    "which": ("where", "resolve"),
}
# An option is only taken for a slip of the finger when it is this much alike.
ALIKE = 0.75
# Options of the name of a setting need no line here.
SETTINGS_OF_UP = {"--port": "API_PORT", "--host": "API_HOST", "--database": "DATABASE_URL"}


def command(word: str, *, names: Collection[str], below: Mapping[str, Collection[str]]) -> str | None:
    """Return our word for a command of `names`, or with the group it is in if it is in one `below`."""
    for meant in (word, *ALSO_CALLED.get(word, ())):
        if meant in names:
            return meant
        for name, words in below.items():
            if meant in words:
                return f"{name} {meant}"
    return None


def option(error: click.NoSuchOption) -> click.UsageError:
    """Return what to say instead to an option that is not there."""
    name = error.option_name
    if error.ctx is not None and name == "--config":
        words = error.ctx.command_path.split(" ", 1)
        told = f"--config goes before the command: `{words[0]} --config FILE {words[-1]}`."
        return click.UsageError(told, ctx=error.ctx)
    if error.ctx is not None and error.ctx.info_name in {"up", "api", "monitor"}:
        setting = f"OLLAMA_FLEET_{SETTINGS_OF_UP.get(name, name.strip('-').replace('-', '_').upper())}"
        told = f"No such option {name!r}: settings are variables, as in {setting}=… before `{error.ctx.command_path}`."
        return click.UsageError(told, ctx=error.ctx)
    near = difflib.get_close_matches(name, error.possibilities or (), cutoff=ALIKE)
    return click.NoSuchOption(name, possibilities=near, ctx=error.ctx)
