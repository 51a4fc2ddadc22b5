"""What the name of a variable means: an address, something that goes with an address, or nothing to store."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

from api.fleet.importing import env_file


class Role(StrEnum):
    """What a variable says about a server; these are also the words of `--map`."""

    HOST = "host"  # an address as Ollama reads OLLAMA_HOST
    URL = "url"
    URLS = "urls"  # with ; or , between
    NAME = "name"
    API_KEY = "api_key"
    HEADER = "header"
    TOKEN = "token"
    USERNAME = "username"
    PASSWORD = "password"
    PRIORITY = "priority"
    MAX_CONCURRENT = "max_concurrent"
    API = "api"
    IGNORE = "ignore"


ADDRESSES = frozenset({Role.HOST, Role.URL, Role.URLS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """The role, and the group of variables that speak of one server: a number, a word of `--map`, or ``."""

    role: Role
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """A variable that is about Ollama and yet nothing of a server; `is_known` when that is sure."""

    reason: str
    is_known: bool = True


# After OLLAMA_ or OLLAMA_SERVER_, with a number anywhere.
SPELLINGS: Mapping[str, Role] = {
    "HOST": Role.HOST,
    "SERVER": Role.URL,
    "URL": Role.URL,
    "HOST_URL": Role.URL,
    "BASE_URL": Role.URL,
    "API_BASE": Role.URL,
    "API_BASE_URL": Role.URL,
    "API_URL": Role.URL,
    "ENDPOINT": Role.URL,
    "HOSTS": Role.URLS,
    "SERVERS": Role.URLS,
    "ENDPOINTS": Role.URLS,
    "URLS": Role.URLS,
    "BASE_URLS": Role.URLS,
    "API_BASE_URLS": Role.URLS,
    "NAME": Role.NAME,
    "API_KEY": Role.API_KEY,
    "API_KEY_HEADER": Role.HEADER,
    "TOKEN": Role.TOKEN,
    "API_TOKEN": Role.TOKEN,
    "AUTH_TOKEN": Role.TOKEN,
    "BEARER_TOKEN": Role.TOKEN,
    "USER": Role.USERNAME,
    "USERNAME": Role.USERNAME,
    "PASSWORD": Role.PASSWORD,
    "PRIORITY": Role.PRIORITY,
    "MAX_CONCURRENT": Role.MAX_CONCURRENT,
    "API": Role.API,
}
# What `ollama serve` reads, and its command line, other than OLLAMA_HOST.
OF_OLLAMA = re.compile(
    "AUTH|CONTEXT_LENGTH|DEBUG|DEBUG_LOG_REQUESTS|EDITOR|FLASH_ATTENTION|GPU_OVERHEAD|INTEL_GPU|KEEP_ALIVE|"
    "KV_CACHE_TYPE|LLM_LIBRARY|LOAD_TIMEOUT|MAX_LOADED_MODELS|MAX_QUEUE|MAX_VRAM|MODELS|MULTIUSER_CACHE|NEW_ENGINE|"
    "NEW_ESTIMATES|NOHISTORY|NOPRUNE|NO_CLOUD|NUM_GPU|NUM_PARALLEL|ORIGINS|REMOTES|RUNNERS_DIR|SCHED_SPREAD|TMPDIR|"
    "VULKAN"
)
TUNING = Unused(reason="a setting of the Ollama server itself, not an address")
MODEL = Unused(reason="the name of a model; which models there are the fleet finds out by itself")
OF_FLEET = Unused(reason="a setting of ollama-fleet, which reads it from its environment")
PORT = Unused(reason="a port alone; write it into the address, as in gpu-1:11434", is_known=False)
STRANGE = Unused(
    reason="no name that is known here; say with --map what it is, ignore if it is no server's", is_known=False
)

# Other letters in its place are other programs: LLAMA_API_KEY is one slip away, too.
FIRST_LETTER = "O"

_TOKENS = re.compile(r"[A-Z]+|[0-9]+")
_NUMBER = re.compile(r"[0-9]+")


def meaning(name: str, mapping: Mapping[str, Meaning]) -> Meaning | Unused | None:
    """Return what a variable is for, None when it is not about Ollama; `mapping` wins over what is known here."""
    if name in mapping:
        return mapping[name]
    tokens = _TOKENS.findall(name.upper())
    if tokens[:1] != ["OLLAMA"]:
        return _misspelt(name)
    words = [token for token in tokens[1:] if not token.isdigit()]
    numbers = [token for token in tokens[1:] if token.isdigit()]
    if (unused := _unused(words)) is not None:
        return unused
    if len(words) > 1 and words[0] == "SERVER":
        words = words[1:]
    role = SPELLINGS.get("_".join(words))
    if role is None or len(numbers) > 1:
        return _misspelt(name) or STRANGE
    return Meaning(role=role, group=_group(numbers))


def _misspelt(name: str) -> Unused | None:
    """Return the question for a name that is nearly a known one; it is the operator who answers it."""
    known = _meant(name)
    return None if known is None else Unused(reason=f"did you mean {known}?", is_known=False)


def _meant(name: str) -> str | None:
    """Return the known name that is one slip away, with the number of this one."""
    typed = name.upper()
    numbers = _NUMBER.findall(typed)
    if not typed.startswith(FIRST_LETTER) or len(numbers) > 1:
        return None
    known = (one for word in SPELLINGS for one in _spelt(word, *numbers))
    return next((one for one in known if _is_a_slip_away(typed, one)), None)


def _spelt(word: str, number: str = "") -> Iterator[str]:
    """Yield the names that people give a variable, or one of a numbered family."""
    if number:
        yield from (f"OLLAMA_SERVER_{number}_{word}", f"OLLAMA_{word}_{number}", f"OLLAMA_{number}_{word}")
    else:
        yield from (f"OLLAMA_{word}", f"OLLAMA_SERVER_{word}")


def _is_a_slip_away(one: str, other: str) -> bool:
    """Whether a letter too many, too few or wrong, or two in each other's place, is all that differs."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    one, other = one[same:], other[same:]
    exchanged = one[1::-1] + one[2:]
    return one[1:] in {other, other[1:]} or other in {exchanged, other[:1] + one}


def _unused(words: list[str]) -> Unused | None:
    if words[:1] == ["FLEET"]:
        return OF_FLEET
    if OF_OLLAMA.fullmatch("_".join(words)):
        return TUNING
    if words[-1:] == ["MODEL"] or words[-2:] == ["MODEL", "NAME"]:
        return MODEL
    return PORT if words[-1:] == ["PORT"] else None


def parse_mapping(text: str) -> tuple[str, Meaning]:
    """Read `NAME=ROLE` or `NAME=ROLE@GROUP`; without a group it is the only number in the name.

    Raises ValueError with a sentence.
    """
    name, equals, rest = text.partition("=")
    word, _, group = rest.partition("@")
    roles = f"The roles are {', '.join(Role)}."
    if not equals or not env_file.NAME.fullmatch(name):
        raise ValueError(f"A mapping is written NAME=ROLE or NAME=ROLE@GROUP, not {text!r}. {roles}")
    if word not in set(Role):
        near = difflib.get_close_matches(word.lower(), list(Role), n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ValueError(f"{word!r} in --map {text} is no role{hint} {roles}")
    numbers = _NUMBER.findall(name)
    return name, Meaning(role=Role(word), group=group or _group(numbers if len(numbers) == 1 else []))


def _group(numbers: list[str]) -> str:
    return numbers[0].lstrip("0") or "0" if numbers else ""
