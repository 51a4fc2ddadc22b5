"""The owner's rules of resolution as one table: fleets, requests, and what comes out, for every way of asking.

The pure function, REST and the command line are all run over these rows, each by a test of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor.domain.resolver import Request
from tests.boxes import CLOUD, DOWN, LOADED, NOW, OFF, UP, Box, Fields, Has

HF = "hf.co/acme/Tiny-GGUF:Q4_K_M"


@dataclass(frozen=True, slots=True)
class Row:
    """A rule: `chosen` is the name of a server, a dynamic URL, or the code of a refusal."""

    title: str
    boxes: tuple[Box, ...]
    request: Request
    chosen: str
    expected: Fields = field(default_factory=dict)


def ask(model: str | None = None, *, url: str | None = None, cloud: bool = False) -> Request:
    """A request."""
    return Request(server_url=url, model=model, cloud=cloud)


LLAMA = (Has("llama3:latest"),)
COLD, HOT = (Has("m:latest"),), (Has("m:latest", LOADED),)
ANNA = Box("anna", UP, LLAMA)
PREFERRED = Box("b", {"is_default": True, **UP})
KNOWN: Fields = {"rule": 1, "model_known": True, "model_name": "llama3:latest"}

TABLE = (
    # A URL, without and with a model.
    Row("a URL that is found", (ANNA,), ask(url="http://anna:11434"), "anna", {"rule": 1, "model_known": None}),
    Row("a URL in another spelling", (ANNA,), ask(url="HTTP://Anna:11434/v1/"), "anna", {"base_url": ANNA.url}),
    Row("a URL that is found, down", (Box("anna", DOWN),), ask(url=ANNA.url), "anna", {"available": False}),
    Row("a URL that is found, inactive", (Box("anna", OFF),), ask(url=ANNA.url), "server_inactive"),
    Row("a URL that is not found", (ANNA,), ask(url="http://other:11434"), "http://other:11434", {"rule": 1}),
    Row("a URL that is not found, of the default port", (ANNA,), ask(url="http://anna"), "http://anna"),
    Row("a URL while there is no server", (), ask(url="https://x.example/ollama/"), "https://x.example/ollama"),
    Row("URL and model: found", (ANNA,), ask("llama3", url=ANNA.url), "anna", KNOWN),
    Row("URL and model: found, down", (Box("anna", DOWN, LLAMA),), ask("LLAMA3", url=ANNA.url), "anna", KNOWN),
    Row("URL and model: found, inactive", (Box("anna", OFF, LLAMA),), ask("llama3", url=ANNA.url), "server_inactive"),
    Row(
        "URL and model: found without that model",
        (ANNA, Box("berta", UP, (Has("phi4:latest"),))),
        ask("phi4", url=ANNA.url),
        "anna",
        {"rule": 1, "model_known": False, "model_name": "phi4"},
    ),
    Row(
        "URL and model: found, the model switched off",
        (Box("anna", UP, (Has("llama3:latest", OFF),)),),
        ask("llama3", url=ANNA.url),
        "anna",
        {"model_known": False},
    ),
    Row(
        "URL and model: not found",
        (ANNA,),
        ask("llama3", url="http://other:11434"),
        "http://other:11434",
        {"rule": 1, "model_known": False, "model_name": "llama3", "available": None, "max_concurrent": 1},
    ),
    Row(
        "two servers with one URL in two spellings: the active one",
        (Box("anna", {"url": "http://X:80/", **OFF}), Box("berta", {"url": "http://x", **UP})),
        ask(url="http://x"),
        "berta",
    ),
    # Only a model.
    Row("model: one has it", (ANNA, Box("berta", UP)), ask("llama3"), "anna", {"rule": 2, "model_known": True}),
    Row("model: an inactive one has it", (Box("anna", OFF, LLAMA), Box("berta", UP)), ask("llama3"), "model_not_found"),
    Row("model: switched off", (Box("anna", UP, (Has("llama3:latest", OFF),)),), ask("llama3"), "model_not_found"),
    Row("model: unknown", (ANNA,), ask("llama4"), "model_not_found"),
    Row("model: another tag", (ANNA,), ask("llama3:8b"), "model_not_found"),
    Row("model: none available", (Box("anna", DOWN, LLAMA), Box("b", {}, LLAMA)), ask("llama3"), "no_server_available"),
    Row(
        "several: available wins over all else",
        (Box("a", {"priority": 9, "is_default": True, **DOWN}, HOT), Box("b", UP, COLD)),
        ask("m"),
        "b",
    ),
    Row(
        "several: degraded is available",
        (Box("anna", {"status": "degraded", "is_available": True, "priority": 1}, LLAMA), Box("b", UP, LLAMA)),
        ask("llama3"),
        "anna",
    ),
    Row(
        "several: not flapping wins over loaded and priority",
        (Box("anna", {"flapping_since": NOW, "priority": 9, **UP}, HOT), Box("b", UP, COLD)),
        ask("m"),
        "b",
    ),
    Row(
        "several: loaded wins over priority",
        (Box("anna", {"priority": 9, **UP}, COLD), Box("b", UP, HOT)),
        ask("m"),
        "b",
        {"loaded": True},
    ),
    Row(
        "several: priority wins over the default",
        (Box("anna", {"is_default": True, **UP}, LLAMA), Box("b", {"priority": 1, **UP}, LLAMA)),
        ask("llama3"),
        "b",
    ),
    Row("several: the default, then", (ANNA, Box("b", {"is_default": True, **UP}, LLAMA)), ask("llama3"), "b"),
    Row("several: the name", (Box("berta", UP, LLAMA), ANNA, Box("carla", UP, LLAMA)), ask("llama3"), "anna"),
    Row("cloud: not unasked", (Box("a", UP, (Has("q:cloud", CLOUD),)),), ask("q:cloud"), "model_not_found"),
    Row("cloud: allowed", (Box("a", UP, (Has("q:cloud", CLOUD),)),), ask("q:cloud", cloud=True), "a", dict(CLOUD)),
    Row(
        "cloud: not while another has the model itself",
        (Box("a", {"priority": 9, **UP}, (Has("q:latest", CLOUD),)), Box("b", UP, (Has("q:latest"),))),
        ask("q", cloud=True),
        "b",
    ),
    Row(
        "cloud: not even if that other is down",
        (Box("a", UP, (Has("q:latest", CLOUD),)), Box("b", DOWN, (Has("q:latest"),))),
        ask("q", cloud=True),
        "no_server_available",
    ),
    Row(
        "cloud: the URL of a server allows whatever it has",
        (Box("a", UP, (Has("q:cloud", CLOUD),)),),
        ask("q:cloud", url="http://a:11434"),
        "a",
        {"model_known": True, **CLOUD},
    ),
    # Neither.
    Row("neither: the default", (ANNA, PREFERRED), ask(), "b", {"rule": 3, "model_name": None}),
    Row("neither: the default, down", (ANNA, Box("b", {"is_default": True, **DOWN})), ask(), "b", {"available": False}),
    Row("neither: the default inactive", (ANNA, Box("b", {"is_default": True, **OFF})), ask(), "anna", {"rule": 3}),
    Row("neither: no default, available first", (Box("a", {"priority": 9, **DOWN}), Box("b", UP)), ask(), "b"),
    Row("neither: no default, then priority", (Box("a", UP), Box("b", {"priority": 1, **UP})), ask(), "b"),
    Row("neither: no default, then the name", (Box("b", UP), Box("a", UP)), ask(), "a"),
    Row("neither: no default, none available", (Box("b", DOWN), Box("a", DOWN)), ask(), "a", {"available": False}),
    Row("neither: nothing active", (Box("a", OFF), Box("b", {"is_default": True, **OFF})), ask(), "no_active_server"),
    Row("neither: nothing at all", (), ask(), "no_active_server"),
    # Names and texts.
    Row("name: hf.co", (Box("a", UP, (Has(HF),)),), ask(HF.swapcase()), "a", {"model_name": HF}),
    Row("name: a port", (Box("a", UP, (Has("reg.example:5000/t/m:1b"),)),), ask("reg.example:5000/t/m:1b"), "a"),
    Row("name: the default host", (ANNA,), ask("registry.ollama.ai/library/LLAMA3", url=ANNA.url), "anna", KNOWN),
    Row("name: another namespace", (ANNA,), ask("acme/llama3"), "model_not_found"),
    Row("name: one that only a server would list", (Box("a", UP, (Has("My Model"),)),), ask("my model"), "a"),
    Row("name: blanks", (ANNA,), ask("llama 3"), "invalid"),
    Row("name: around it", (ANNA,), ask(" llama3"), "invalid"),
    Row("name: empty", (ANNA,), ask(""), "invalid"),
    Row("name: 2,000 characters", (ANNA,), ask("x" * 2000), "invalid"),
    Row("name: wrong beside a good URL", (ANNA,), ask("a b", url=ANNA.url), "invalid"),
    Row("URL: empty", (ANNA,), ask(url=""), "invalid"),
    Row("URL: not http", (ANNA,), ask(url="ftp://anna"), "invalid"),
    Row("URL: with user info", (ANNA,), ask(url="http://user:secret@anna:11434"), "invalid"),
    Row("URL: 3,000 characters", (ANNA,), ask(url="http://" + "a" * 3000), "invalid"),
)


def check(row: Row, outcome: Mapping[str, Any]) -> None:
    """Fail unless an answer, or a refusal with its `code`, is what the row says."""
    if "code" in outcome:
        assert outcome["code"] == row.chosen, outcome
        return
    server = outcome["server"]
    if row.chosen.startswith("http"):
        assert (outcome["source"], server, outcome["base_url"]) == ("dynamic", None, row.chosen)
    else:
        assert (outcome["source"], server and server["name"]) == ("registered", row.chosen)
    assert {name: outcome[name] for name in row.expected} == dict(row.expected)
