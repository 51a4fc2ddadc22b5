"""Which credential the values beside an address make: one, or none and why not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from api.fleet.importing.variables import Role

Auth = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """The credential as `auth` takes it, None without one; `refused` says by role which parts are of no use."""

    auth: Auth | None = field(repr=False)
    refused: Mapping[Role, str]


def compose(parts: Mapping[Role, str], *, in_urls: Sequence[tuple[str, str]]) -> Composed:
    """Put together what the variables say by role, and what user name and password stand in the address.

    A key is sent as a bearer token, as Ollama's own clients send OLLAMA_API_KEY, unless a header is named.
    """
    refused = dict(_incomplete(parts))
    kept = {role: value for role, value in parts.items() if role not in refused}
    found = list(_credentials(kept, in_urls))
    if all(one == found[0] for one in found):
        return Composed(auth=found[0] if found else None, refused=refused)
    several = "the file gives this server several credentials, and it can have one"
    return Composed(auth=None, refused=refused | dict.fromkeys((*kept, Role.URL), several))


def _incomplete(parts: Mapping[Role, str]) -> Iterator[tuple[Role, str]]:
    if Role.USERNAME in parts and Role.PASSWORD not in parts:
        yield Role.USERNAME, "no password goes with it"
    if Role.PASSWORD in parts and Role.USERNAME not in parts:
        yield Role.PASSWORD, "no user name goes with it"
    if Role.HEADER in parts and Role.API_KEY not in parts:
        yield Role.HEADER, "no key goes with it"


def _credentials(parts: Mapping[Role, str], in_urls: Sequence[tuple[str, str]]) -> Iterator[Auth]:
    if Role.HEADER in parts:
        yield {"type": "api_key", "key": parts[Role.API_KEY], "header": parts[Role.HEADER]}
    elif Role.API_KEY in parts:
        yield {"type": "bearer", "token": parts[Role.API_KEY]}
    if Role.TOKEN in parts:
        yield {"type": "bearer", "token": parts[Role.TOKEN]}
    if Role.USERNAME in parts:
        yield {"type": "basic", "username": parts[Role.USERNAME], "password": parts[Role.PASSWORD]}
    for username, password in in_urls:
        yield {"type": "basic", "username": username, "password": password}
