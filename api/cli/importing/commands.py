"""`ollama-fleet import-env`: the servers of a `.env`, taken over once."""

from pathlib import Path

import click

from api.cli.groups import Manual
from api.cli.invocation import Invocation, pass_invocation
from api.cli.screen import output
from api.cli.servers.commands import json_option

EXIT_REFUSED = 1
EXAMPLE = "ollama-fleet import-env .env --dry-run --map LLM_BACKEND=url --map LLM_KEY=api_key"


@click.command("import-env", cls=Manual, epilog=f"Example: {EXAMPLE}")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would be done; needs no right to write.")
@click.option("--update", is_flag=True, help="Give servers that are there already what the file says of them.")
@click.option(
    "--map",
    "mappings",
    multiple=True,
    metavar="NAME=ROLE[@GROUP]",
    help="What a variable is: host, url, urls, name, api_key, header, token, username, password, priority, "
    "max_concurrent, ignore. A group is a word of your own that joins variables of one server. May be repeated.",
)
@json_option
@pass_invocation
def import_env(
    invocation: Invocation, /, *, file: Path, dry_run: bool, update: bool, mappings: tuple[str, ...], as_json: bool
) -> int:
    """Add the servers that a .env FILE names.

    OLLAMA_HOST is read as Ollama reads it; OLLAMA_BASE_URL and its like, OLLAMA_BASE_URLS with ; or , between, and
    numbered families such as OLLAMA_SERVER_1_URL, _NAME, _API_KEY, _USERNAME, _PASSWORD are known. A server that
    is there already, by its URL, stays as it is without --update. Nothing reads FILE again afterwards.

    Ends with 1 when something that is about a server could not be taken.
    """
    from api.cli.importing import importer  # noqa: PLC0415  (0.5 s that `--help` need not wait for)
    from api.cli.importing import view as import_view  # noqa: PLC0415  (0.5 s that `--help` need not wait for)

    report = importer.run(invocation, file, importer.Wish(mappings=mappings, update=update, is_rehearsal=dry_run))
    if as_json:
        output.as_json(report.document())
    else:
        import_view.show(report)
    if report.is_complete:
        return 0
    output.note("ollama-fleet: Not all that the file says of servers could be taken; the report says why.")
    return EXIT_REFUSED
