"""Problems in the words of the command line: the same facts, with what a person types here in the place of HTTP."""

import re
import shlex
from collections.abc import Sequence

from api.fleet.problems import Problem
from monitor.domain.errors import FleetError

TOKEN = "OLLAMA_FLEET_API_TOKEN"
MAKE = "on the machine of the fleet `ollama-fleet token create NAME --scope {scope}` makes one"

# What is wrong with how we asked, by code; `scope` is the one that is missing.
SENTENCES = {
    "token_missing": f"The API wants a token: set {TOKEN} to one; {MAKE}.",
    "token_unknown": f"The API does not know the token in {TOKEN}: it must be whole, as it was shown when it was made. "
    f"If it is lost, {MAKE}.",
    "token_expired": f"The token in {TOKEN} has expired; {MAKE}.",
    "token_revoked": f"The token in {TOKEN} was revoked; {MAKE}.",
    "scope_missing": f"The token in {TOKEN} may not do this, it lacks the scope {{scope}}; {MAKE} that has it.",
    "too_many_failures": f"Too many commands from here came with a token that is not good. Correct {TOKEN}, or unset "
    "it; a good one is let in at once.",
    "host_not_allowed": "The API does not answer under the name in OLLAMA_FLEET_API_URL. Use one it knows, or add this "
    f"one to OLLAMA_FLEET_API_HOSTNAMES where it runs, or set {TOKEN}.",
    "discovery_failed": "The server did not list its models: {why}. `ollama-fleet servers check SERVER` says what to "
    "do; what was known of its models stays.",
}
# Parts of other sentences, and what they come to here.
PHRASES = {
    "GET /api/servers lists those there are": "`ollama-fleet servers list` shows those there are",
    "GET /api/servers/{id}/models lists those it has": "`ollama-fleet models SERVER` lists those it has",
    "Set is_active to true first": "`ollama-fleet servers set SERVER --active` activates it",
    "Ask with cloud=true if": "Ask with --cloud if",
    "or ask with server_url": "or name one with --url",
    "give them as `auth` instead": "give them with --auth-type basic and --username",
    "Send `auth` with the URL to": "Give --auth-type with --url to",
    "/readyz says why": "`ollama-fleet doctor` says why",
    "read the server again in a moment": "look at `ollama-fleet servers show SERVER` in a moment",
}
# How the fields of the API are given here.
OPTIONS = {
    "server_url": "--url",
    "model": "MODEL",
    "name": "NAME",
    "url": "URL",
    "check_interval_seconds": "--interval",
    "check_timeout_seconds": "--timeout",
    "capabilities": "--capability",
    "labels": "--label",
    "is_default": "--default",
    "is_active": "--active",
    "connection_watch": "--watch",
    "auth.username": "--username",
    "auth.header": "--auth-header",
    "auth.password": "password",
    "auth.token": "token",
    "auth.key": "key",
}
# With these nothing can have been changed, so there is nothing to say of it.
READ_ONLY = frozenset({"server_url", "model", "label", "capability", "status"})
_PLACEHOLDER = re.compile(r"(`ollama-fleet [a-z ]+ )SERVER")
NOTHING_CHANGED = "Nothing was changed."


def sentence(error: FleetError) -> str:
    """Return what failed, why, and what to do about it on the command line."""
    if not isinstance(error, Problem):
        return str(error)
    if errors := _fields(error.members.get("errors")):
        return _invalid(errors)
    if (template := SENTENCES.get(error.code)) is not None:
        why = str(error.members.get("reason_detail") or error.members.get("reason")).removesuffix(".")
        return template.format(scope=error.members.get("scope", "read"), why=why)
    return in_our_words(error.detail)


def of_server(problem: Problem, reference: str) -> str:
    """Return the sentence with the server as it was typed in each command that is advised."""
    return _PLACEHOLDER.sub(lambda found: found[1] + shlex.quote(reference), sentence(problem))


def in_our_words(said: str) -> str:
    """Return a sentence of the API with what a person types here in the place of HTTP."""
    for theirs, ours in PHRASES.items():
        said = said.replace(theirs, ours)
    return said


def _fields(errors: object) -> list[tuple[str, str]]:
    """Return each field and what is wrong with it; nothing when another program answers in another way."""
    entries = errors if isinstance(errors, list) else []
    return [(str(each.get("field", "")), str(each.get("message", ""))) for each in entries if isinstance(each, dict)]


def _invalid(errors: Sequence[tuple[str, str]]) -> str:
    wrong = "; ".join(_option(field) + _of_field(field, message.removesuffix(".")) for field, message in errors)
    is_read = all(_first(field) in READ_ONLY for field, _ in errors)
    return f"{wrong}." if is_read else f"{wrong}. {NOTHING_CHANGED}"


def _of_field(field: str, message: str) -> str:
    # Only where a server is edited an address can have a credential beside it.
    return in_our_words(message) if field == "url" else message


def _option(field: str) -> str:
    if not field:
        return ""
    known = OPTIONS.get(field) or OPTIONS.get(_first(field))
    return f"{known or '--' + _first(field).replace('_', '-')}: "


def _first(field: str) -> str:
    return field.partition(".")[0]
