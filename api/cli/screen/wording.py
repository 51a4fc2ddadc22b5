"""Problems in the words of the command line: the same facts, with what a person types here in the place of HTTP."""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from api.fleet.refusals import Next, Refused
from api.fleet.views import Notice
from monitor.domain import url
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
    "scope_missing": f"This needs a token with the scope {{scope}}, and {TOKEN} has none with it; {MAKE} that has it.",
    "too_many_failures": f"Too many commands from here came with a token that is not good. Correct {TOKEN}, or unset "
    "it; a good one is let in at once.",
    "host_not_allowed": "Without a token the API answers only under localhost, not under the name in "
    f"OLLAMA_FLEET_API_URL. Set {TOKEN} to one; {MAKE.format(scope='read')}.",
    "discovery_failed": "The server did not list its models: {why}. `ollama-fleet servers check SERVER` says what to "
    "do; what was known of its models stays.",
}
# What to do next.
NEXT = {
    Next.LIST_SERVERS: "`ollama-fleet servers list` shows those there are.",
    Next.LIST_MODELS: "`ollama-fleet models` lists those there are.",
    Next.LIST_MODELS_OF_SERVER: "`ollama-fleet models SERVER` lists those it has.",
    Next.ACTIVATE: "`ollama-fleet servers set SERVER --active` activates it.",
    Next.READ_SERVER_AGAIN: "Look at `ollama-fleet servers show SERVER` in a moment.",
    Next.ASK_READINESS: "`ollama-fleet doctor` says why.",
    Next.FIT_MODEL: "Ask for less, or pull it on one that fits.",
    Next.FIT_SERVER: "Ask for less, or name one with --url.",
    Next.ALLOW_CLOUD: "Ask with --cloud if prompts may go there.",
    Next.ADD_OR_NAME_URL: "Add one, or name one with --url.",
    Next.ACTIVATE_OR_NAME_URL: "Activate one, or name one with --url.",
    Next.ASK_FOR_A_MODEL: "That is the name of a server; ask for a model, or name one with --url.",
}
# What an edit did that was not asked for, by the code of the notice.
NOTICES = {
    "credential_dropped": "The URL names another scheme, host or port, so the credential for the one before was "
    "removed: it is not for everybody. Give --auth-type with --url to give the server one.",
}
# What is wrong with a field, where the field to use instead has another name here.
MESSAGES = {
    url.WITH_A_CREDENTIAL.removesuffix("."): "The URL must not carry a user name or password; give them with "
    "--auth-type basic and --username",
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
    "ca_pem": "--ca-file",
    "client_cert": "--client-cert",
    "client_key": "--client-key",
    "tls_server_name": "--tls-server-name",
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
    if not isinstance(error, Refused):
        return str(error)
    if errors := _fields(error.facts.get("errors")):
        return _invalid(errors)
    if (template := SENTENCES.get(error.code)) is not None:
        why = str(error.facts.get("reason_detail") or error.facts.get("reason")).removesuffix(".")
        return template.format(scope=error.facts.get("scope", "read"), why=why)
    return error.detail if error.next is None else f"{error.detail} {NEXT[error.next]}"


@contextmanager
def about(reference: str) -> Iterator[None]:
    """Tell a refusal of the block with the server as it was typed in each command that is advised."""
    try:
        yield
    except Refused as problem:
        told = _PLACEHOLDER.sub(lambda found: found[1] + shlex.quote(reference), sentence(problem))
        raise FleetError(told) from problem


def notice(told: Notice) -> str:
    """Return what an edit did that was not asked for."""
    return NOTICES.get(told.code, told.detail)


def _fields(errors: object) -> list[tuple[str, str]]:
    """Return each field and what is wrong with it; nothing when another program answers in another way."""
    entries = errors if isinstance(errors, list) else []
    return [(str(each.get("field", "")), str(each.get("message", ""))) for each in entries if isinstance(each, dict)]


def _invalid(errors: Sequence[tuple[str, str]]) -> str:
    wrong = "; ".join(_option(field) + MESSAGES.get(message, message).removesuffix(".") for field, message in errors)
    is_read = all(_first(field) in READ_ONLY for field, _ in errors)
    return f"{wrong}." if is_read else f"{wrong}. {NOTHING_CHANGED}"


def _option(field: str) -> str:
    if not field:
        return ""
    known = OPTIONS.get(field) or OPTIONS.get(_first(field))
    return f"{known or '--' + _first(field).replace('_', '-')}: "


def _first(field: str) -> str:
    return field.partition(".")[0]
