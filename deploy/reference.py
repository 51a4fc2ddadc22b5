"""Writes what can be said of settings, reasons and routes from the code itself, so that it is said once.

`python deploy/reference.py` writes the pages settings.md, reasons.md and rest.md of deploy/docs;
`python deploy/reference.py toml` prints a configuration file with every setting as a comment.
"""

import json
import os
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from api import app
from api.fleet.access.tokens import TokenTable
from api.fleet.resolution.mirror import Mirror
from api.fleet.wakeup import Wakeup
from api.web.openapi import document
from api.web.openapi.operation import Operation
from api.web.problems import CODES
from api.web.stream.fan_out import FanOut
from api.web.stream.streams import Streams
from monitor.credentials.vault import Vault
from monitor.domain.probe import Reason
from monitor.domain.reasons import EXPLANATIONS
from monitor.durations import UNITS
from monitor.postgres.database import Database
from monitor.settings import PREFIX, Settings

DOCS = Path(__file__).resolve().parent / "docs"
WRITTEN = "<!-- Written by `python deploy/reference.py`: change {source}, then run that. -->\n"
# What the embedded PostgreSQL may write to under systemd; a default would differ from user to user.
SERVICE_STATE_DIR = "/var/lib/ollama-fleet"
PLACE = {"name": "NAME", "host": "HOST", "port": "PORT", "address": "HOST:PORT", "url": "URL"}
DOWN = "`down`, after `FALL` of them in a row"
STATUS = {
    Reason.OK: "`up`",
    Reason.BUSY: "`degraded`: it is alive",
    Reason.LIST_FAILED: "`degraded`: it is alive",
    Reason.LOCAL: "none: says nothing about the server",
    Reason.FLAPPING: "`down` until it keeps still",
}


def default_of(field: FieldInfo) -> Any:
    """Return a default as the configuration file would say it; None where there is none."""
    value = field.default
    if field.is_required() or field.default_factory is not None:
        return None
    if isinstance(value, timedelta):
        return duration(value)
    return list(value) if isinstance(value, tuple) else value


def duration(value: timedelta) -> str:
    """Spell a duration in the largest unit that divides it."""
    seconds = value.total_seconds()
    unit = next(unit for unit in reversed(UNITS) if (seconds / UNITS[unit]).is_integer())
    return f"{seconds / UNITS[unit]:.0f}{unit}"


def limits(field: FieldInfo) -> str:
    """Return the smallest and largest value that are taken, or nothing."""
    ends = [getattr(rule, end) for rule in field.metadata for end in ("ge", "le") if hasattr(rule, end)]
    return " to ".join(duration(end) if isinstance(end, timedelta) else str(end) for end in ends)


def toml(database_url: str | None = None) -> str:
    """Return a configuration file for the services: everything at its default, and why it is there."""
    lines = [
        "# Settings of ollama-fleet. Lines that begin with # show defaults; take the # away to change one, then",
        "# restart the services. After a change of database_url run deploy/install.sh again: it chooses the services.",
        '# A duration is a number and a unit in quotes: "500ms", "15s", "5m", "7d".',
    ]
    given = {"database_url": database_url, "state_dir": SERVICE_STATE_DIR}
    for name, field in Settings.model_fields.items():
        within = f" ({limits(field)})" if limits(field) else ""
        lines += ["", f"# {field.description}{within}"]
        if given.get(name) is not None:
            lines.append(f"{name} = {json.dumps(given[name])}")
        else:
            default = default_of(field)
            lines.append(f"#{name} = {'…' if default is None else json.dumps(default)}")
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """Return deploy/docs/settings.md."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = default_of(field)
        shown = "" if default in (None, []) else f"`{default if isinstance(default, str) else json.dumps(default)}`"
        rows.append(f"| `{name.upper()}` | {shown} | {limits(field)} | {field.description} |")
    return "\n".join(
        [
            "# Settings",
            "",
            WRITTEN.format(source="monitor/settings.py"),
            f"In the environment a setting is called `{PREFIX}` and the name below; in the TOML file of `--config` it",
            "is the name in small letters. The environment wins. A name that is misspelt and a value out of range end",
            "the program with exit code 78. Durations are a number and a unit, `500ms` `15s` `5m` `1h` `7d`; a bare",
            "number is seconds.",
            "",
            "| name | default | range | what it is |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def reasons_page() -> str:
    """Return deploy/docs/reasons.md."""
    rows = [
        f"| `{reason}` | {told.seen} | {STATUS.get(reason, DOWN)} | {told.advice.format_map(PLACE)} |"
        for reason, told in EXPLANATIONS.items()
    ]
    return "\n".join(
        [
            "# Reasons",
            "",
            WRITTEN.format(source="monitor/domain/reasons.py"),
            "`status_reason` of a server, `reason` of its events. `status_detail` has the particulars, and",
            "`ollama-fleet servers check NAME --explain` shows each step from where you are.",
            "",
            "| reason | what was seen | status | what to do |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def rest_page() -> str:
    """Return deploy/docs/rest.md."""
    routes = [
        f"| `{operation.method} {document.path_of(operation)}` | {operation.summary} "
        f"| {_codes(operation.parameters.model_fields)} | {_codes(operation.problems)} |"
        for operation in operations()
    ]
    codes = [f"| `{code}` | {known.status.value} | {known.meaning} |" for code, known in sorted(CODES.items())]
    return "\n".join(
        [
            "# REST",
            "",
            WRITTEN.format(source="the operations of api/web/handlers, or api/web/problems.py"),
            "Each parameter, field and example: `/docs` of the running API, `/openapi.json` for programs. An error is",
            "`application/problem+json` (RFC 9457): `code` is stable and for programs, `detail` is a sentence that",
            "says what to do. Fields and parameters that are not known are refused, never ignored.",
            "",
            f"Any route may also answer {_codes(document.EVERYWHERE)}; one with parameters `invalid`; one with a body",
            f"{_codes(document.WITH_A_BODY)}; what is no route or takes another method {_codes(document.NO_ROUTE)}.",
            "",
            "Each answer in JSON to a GET has an `ETag`. Send it as `If-None-Match` with the next request: 304,",
            "without a body, says that nothing has changed. The tag of one server is its row version, which covers",
            "what an operator sets and nothing that checks find: where its health matters, ask the list,",
            "`GET /api/servers?id=`. The tag of `GET /api/resolve` changes when anything but the age of the answer",
            "does; with credentials it changes always. Where chance chose between equal servers that have a model, the",
            "answer has no tag; with a `session` it has.",
            "",
            "| route | does | parameters | codes of its own |",
            "|---|---|---|---|",
            *routes,
            "",
            "| code | status | what it means |",
            "|---|---|---|",
            *codes,
            "",
        ]
    )


def operations() -> list[Operation]:
    """Return what the API answers, without starting it."""
    settings = Settings()
    database = Database("postgresql://localhost/unused", name="reference")
    mirror, wakeup = Mirror(database), Wakeup(database)
    streams = Streams(database, settings.policy, FanOut(database, mirror), most=1)
    tokens = TokenTable(database, open_when_empty=True)
    vault = Vault.of(settings, makes_ring=False)
    built = app.build(settings, database, wakeup=wakeup, streams=streams, mirror=mirror, tokens=tokens, vault=vault)
    return built[app.OPERATIONS]


def _codes(codes: Iterable[str]) -> str:
    return " ".join(f"`{code}`" for code in codes)


PAGES = {"settings.md": settings_page, "reasons.md": reasons_page, "rest.md": rest_page}


def main() -> int:
    """Write the pages, or print a configuration file with the database URL of the environment."""
    if sys.argv[1:] == ["toml"]:
        sys.stdout.write(toml(os.environ.get(f"{PREFIX}DATABASE_URL")))
        return 0
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
