"""No page, script or greeting has a secret typed: each user of a machine can read the command lines of all others."""

import re
from pathlib import Path

import pytest

from tests.deploy.checkout import ROOT

PAGES = sorted(
    path
    for folder, pattern in (("", "*.md"), ("deploy", "**/*"), ("api/cli", "**/*.py"))
    for path in (ROOT / folder).glob(pattern)
    if path.suffix in {".md", ".sh", ".sql", ".py", ".mjs", ".service", ".yml", ".toml"}
)
# What stands for the secret does not matter: a variable is replaced by its value before the command starts.
TYPED = {
    "a header of curl": r"curl\b[^|\n]*?\s(-H|--header)[ =]?[\"']?(Authorization|X-API-Key|Cookie)",
    "a user of curl": r"curl\b[^|\n]*?\s(-u|--user|--oauth2-bearer)[ =]",
    "a body of curl": r"curl\b[^|\n]*?\s(-d|--data\S*|--json)[ =][^|\n]*?(password|token|\"key\")",
    "an option": r"\bollama-fleet\b[^`\n]*\s--(token|password|secret|key|api-token)[ =](?!-)",
    "a password of the database": r"\b(psql|pg_dump|pg_restore|createdb|python3?|node|bash|sh|sudo|env)\b[^`\n]*"
    r"postgres(ql)?://[^\s:/@`]+:[^\s@`]+@",
    "the address of the database, with its password": r"\b(psql|pg_dump|python3?|node|bash|sh)\b[^`\n]*"
    r"\$\(ollama-fleet db uri\)",
    "a variable before the command": r"(?m)^[ $`]*(sudo |env )?[A-Z_]*(PASSWORD|TOKEN|SECRET)=(?![\"']?\$\()\S+ +\S",
    "an argument of sudo": r"\b(sudo|env) [A-Z_]*(PASSWORD|TOKEN|SECRET|DATABASE_URL)=",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_command_has_a_secret_in_its_arguments(page: Path) -> None:
    text = page.read_text().replace("\\\n", " ")
    found = {what: each.group() for what, pattern in TYPED.items() for each in re.finditer(pattern, text)}
    assert found == {}


@pytest.mark.parametrize(
    "command",
    [
        'curl -H "Authorization: Bearer $(cat ci.token)" http://fleet',
        "curl --header 'Authorization: Bearer x' http://fleet",
        "curl -sS -u fleet:pw http://fleet",
        """curl -d '{"token": "x"}' http://fleet""",
        "ollama-fleet servers set gpu-1 --token abc",
        "psql postgresql://fleet:pw@db/fleet",
        'psql "$(ollama-fleet db uri)"',
        "PGPASSWORD=pw psql fleet",
        "sudo OLLAMA_FLEET_DATABASE_URL=postgresql://db/fleet sh deploy/install.sh",
    ],
)
def test_a_command_that_has_one_would_be_found(command: str) -> None:
    assert [what for what, pattern in TYPED.items() if re.search(pattern, command)]
