"""The owner's rules of resolution as one table: fleets, requests, and what comes out, for every way of asking.

The pure function, REST and the command line are all run over these rows, each by a test of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor.domain.selection import Request
from tests.boxes import CLOUD, DOWN, LOADED, NOW, OFF, SUSPECT, UP, Box, Fields, Has

HF = "hf.co/acme/Tiny-GGUF:Q4_K_M"


@dataclass(frozen=True, slots=True)
class Row:
    """A rule: `chosen` is the name of a server, a dynamic URL, or the code of a refusal."""

    title: str
    boxes: tuple[Box, ...]
    request: Request
    chosen: str
    expected: Fields = field(default_factory=dict)


def ask(model: str | None = None, *, url: str | None = None, **others: Any) -> Request:
    """A request."""
    return Request(server_url=url, model=model, **others)


LLAMA = (Has("llama3:latest"),)
BUSY: Fields = {"status": "degraded", "status_reason": "busy", "is_available": True}
BERLIN: Fields = {"labels": {"site": "berlin"}}
ATTIC: Fields = {"site": "attic", **UP}
ATTIC_DOWN: Fields = {"site": "attic", **DOWN}
SEEING = (Has("llama3:latest", {"capabilities": ["completion", "vision"]}),)
PARTLY = (Has("m:latest", {"size_vram": 400, "loaded_size_bytes": 1000}),)
ON_CPU = (Has("m:latest", {"size_vram": 0, "loaded_size_bytes": 1000}),)
NOBODY = "no_server_available"
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
    Row("several: degraded is available", (Box("anna", BUSY, LLAMA), Box("b", DOWN, LLAMA)), ask("llama3"), "anna"),
    Row(
        "several: up wins over degraded, loaded or preferred",
        (Box("anna", {"priority": 1, **BUSY}, HOT), Box("b", UP, COLD)),
        ask("m"),
        "b",
    ),
    Row(
        "several: not suspect wins over up",
        (Box("anna", {"priority": 9, **UP, **SUSPECT}, HOT), Box("b", BUSY, COLD)),
        ask("m"),
        "b",
        {"suspect": False},
    ),
    Row(
        "several: all suspect",
        (Box("anna", {**UP, **SUSPECT}, COLD), Box("b", {"priority": 1, **UP, **SUSPECT}, COLD)),
        ask("m"),
        "b",
        {"suspect": True, "available": True},
    ),
    Row("several: suspect wins over down", (Box("a", {**UP, **SUSPECT}, COLD), Box("b", DOWN, HOT)), ask("m"), "a"),
    Row(
        "several: not flapping wins over loaded and priority",
        (Box("anna", {"flapping_since": NOW, "priority": 9, **UP}, HOT), Box("b", UP, COLD)),
        ask("m"),
        "b",
    ),
    Row(
        "several: the native API wins over the other one",
        (Box("a", {"priority": 9, "api_seen": "openai", **UP}, COLD), Box("b", {"api_seen": "native", **UP}, COLD)),
        ask("m"),
        "b",
    ),
    Row(
        "several: not flapping wins over the native API",
        (Box("a", {"api_seen": "openai", **UP}, COLD), Box("b", {"flapping_since": NOW, **UP}, HOT)),
        ask("m"),
        "a",
    ),
    Row(
        "several: an idle GPU wins over a copy that is partly on the CPU",
        (Box("a", {"priority": 9, **UP}, PARTLY), Box("b", UP, (Has("m:latest"), Has("x:latest", LOADED)))),
        ask("m"),
        "b",
    ),
    Row(
        "several: partly on the CPU wins over wholly on it",
        (Box("a", {"priority": 9, **UP}, ON_CPU), Box("b", UP, PARTLY)),
        ask("m"),
        "b",
        {"loaded": True},
    ),
    Row(
        "several: loaded on a CPU is no better than not loaded where no GPU was seen",
        (Box("a", UP, ON_CPU), Box("b", {"priority": 1, **UP}, COLD)),
        ask("m"),
        "b",
        {"loaded": False},
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
    Row("a label", (ANNA, Box("b", {**BERLIN, **UP}, LLAMA)), ask("llama3", labels=(("site", "berlin"),)), "b"),
    Row(
        "labels: all of them",
        (Box("a", {**BERLIN, **UP}, LLAMA),),
        ask("llama3", labels=(("site", "berlin"), ("gpu", "a100"))),
        "model_not_found",
    ),
    Row("a site", (ANNA, Box("b", {"site": "attic", **UP}, LLAMA)), ask("llama3", site="attic"), "b"),
    Row("a site that none has", (ANNA,), ask("llama3", site="attic"), "model_not_found"),
    Row("a site where it is down", (ANNA, Box("b", ATTIC_DOWN, LLAMA)), ask("llama3", site="attic"), NOBODY),
    Row("a capability of the model", (ANNA, Box("b", UP, SEEING)), ask("llama3", capabilities=("vision",)), "b"),
    Row("an API", (ANNA, Box("b", {"api_seen": "openai", **UP}, LLAMA)), ask("llama3", api="openai"), "b"),
    Row("an API that nobody has shown yet", (ANNA,), ask("llama3", api="native"), "model_not_found"),
    Row("a URL is not narrowed", (ANNA,), ask(url=ANNA.url, site="attic"), "anna"),
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
    Row("neither: no default, not suspect first", (Box("a", {**UP, **SUSPECT}), Box("b", UP)), ask(), "b"),
    Row("neither: no default, up first", (Box("a", {"priority": 9, **BUSY}), Box("b", UP)), ask(), "b"),
    Row("neither: no default, none available", (Box("a", DOWN),), ask(), "a", {"available": False}),
    Row(
        "neither: the default, suspect",
        (Box("a", UP), Box("b", {"is_default": True, **UP, **SUSPECT})),
        ask(),
        "b",
        {"suspect": True},
    ),
    Row("neither: a site, not that of the default", (PREFERRED, Box("a", ATTIC)), ask(site="attic"), "a", {"rule": 3}),
    Row("neither: a site that none has", (PREFERRED,), ask(site="attic"), "no_active_server"),
    Row(
        "neither: any model that sees", (Box("a", UP, LLAMA), Box("b", UP, SEEING)), ask(capabilities=("vision",)), "b"
    ),
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
