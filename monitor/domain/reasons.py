"""What each reason means and what helps: the one table for REST, the command line, the pages and the dashboard.

Sentences are for an operator who was just woken. `tests/docs/test_reasons.py` keeps the dashboard's words in step.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from monitor.domain import url as base_url
from monitor.domain.errors import InvalidUrlError
from monitor.domain.probe import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`cause` is what is wrong, `seen` what exactly was answered, `advice` what to do.

    In an advice stand {name}, {url}, {host}, {port} and {address}, which is host and port.
    """

    cause: str
    seen: str
    advice: str


EXPLANATIONS = {
    Reason.OK: Explanation(
        cause="It answers as Ollama does",
        seen="The server answered as Ollama does.",
        advice="Nothing is to be done: the server answers as Ollama does.",
    ),
    Reason.DNS: Explanation(
        cause="Its name is not found",
        seen="The name in the URL has no address.",
        advice="Does `getent hosts {host}` find it on this machine? Correct the name or the resolver, or write the "
        "address in the URL.",
    ),
    Reason.REFUSED: Explanation(
        cause="Nothing listens on its port",
        seen="The machine is there, and no program listens on the port.",
        advice="Nothing listens on port {port} of {host}: is Ollama running there, and does OLLAMA_HOST make it "
        "listen on that address, not only on 127.0.0.1?",
    ),
    Reason.UNREACHABLE: Explanation(
        cause="No way leads to it",
        seen="No network way leads to the address.",
        advice="No way leads from this machine to {host}: is it switched on, in the same network or behind a VPN "
        "that is up? `ip route get` with its address shows which way is taken.",
    ),
    Reason.CONNECT_TIMEOUT: Explanation(
        cause="It does not even refuse to connect",
        seen="No answer at all to the attempt to connect.",
        advice="{host} does not even refuse: is the machine on, and does a firewall drop what goes to its port {port}?",
    ),
    Reason.TIMEOUT: Explanation(
        cause="It takes the connection but does not answer in time",
        seen="Connected, but no whole answer within the time-out.",
        advice="The port is open but no whole answer came: look at the load and at Ollama's log on {host} "
        "(journalctl -u ollama), restart it if it hangs; if it is only slow, give it a longer timeout.",
    ),
    Reason.RESET: Explanation(
        cause="It hung up in mid-answer",
        seen="The connection was closed in mid-answer.",
        advice="Something hung up in mid-answer: look in Ollama's log on {host} for a crash or a restart; if a proxy"
        " stands before it or port {port} speaks TLS, look there.",
    ),
    Reason.TLS: Explanation(
        cause="The encrypted connection fails",
        seen="The certificate or the TLS handshake failed.",
        advice="`openssl s_client -connect {address} -servername {host}` shows the certificate. `ollama-fleet "
        "servers set {name}` takes your own authority (--ca-file), another name in it (--tls-server-name), or what it "
        "wants to see (--client-cert, --client-key). If port {port} speaks no TLS, write http://.",
    ),
    Reason.AUTH: Explanation(
        cause="It wants a credential, or another one",
        seen="401, or 403 with a body.",
        advice="A proxy in front of {host}, or its OpenAI-style API, wants a credential, Ollama itself never does: "
        "give it with `ollama-fleet servers set {name} --auth-type …`, or have the proxy let this machine through.",
    ),
    Reason.HOST_RULE: Explanation(
        cause="It refuses every name but its own",
        seen="403 without a body: Ollama's own check of the `Host` header.",
        advice="Ollama on {host} listens on loopback only and refuses other names: set OLLAMA_HOST=0.0.0.0 there and"
        " restart it, or have the proxy in front of it send `Host: localhost`.",
    ),
    Reason.NOT_OLLAMA: Explanation(
        cause="Something else than Ollama answers",
        seen="404, a redirect, HTML, or JSON of another shape.",
        advice="Something else than Ollama answers on port {port} of {host}: check host, port (Ollama's own is "
        "11434) and path of the URL.",
    ),
    Reason.BUSY: Explanation(
        cause="It is alive but has no room",
        seen="429.",
        advice="Something before {host} lets no more questions through for now (HTTP 429), Ollama itself does not say "
        "that to these: look at the limits of the proxy, or let this machine's checks through without one.",
    ),
    Reason.SERVER_ERROR: Explanation(
        cause="It answers with an error of its own",
        seen="5xx.",
        advice="502, 503 and 504 come from a proxy that does not reach Ollama, or from a maintenance page: is Ollama "
        "running behind it? Else read Ollama's log on {host} (journalctl -u ollama).",
    ),
    Reason.PROTOCOL: Explanation(
        cause="What it answers is no proper HTTP",
        seen="What came is not HTTP.",
        advice="That is no proper HTTP: check scheme, host and port of the URL; does another service have port "
        "{port} of {host}, or a proxy change the answers?",
    ),
    Reason.TOO_LARGE: Explanation(
        cause="Its answer is far too big",
        seen="The answer is longer than any true one.",
        advice="No Ollama answers with that much: find out what listens on port {port} of {host}.",
    ),
    Reason.BAD_JSON: Explanation(
        cause="Its answer cannot be read",
        seen="The answer is not usable JSON.",
        advice="Look at the answer with `curl -sS {url}/api/version`: a proxy may change it; if none does, update "
        "Ollama on {host}.",
    ),
    Reason.LIST_FAILED: Explanation(
        cause="It is alive but cannot list its models",
        seen="The server is alive, but its list of models fails.",
        advice="Ollama on {host} is alive but cannot list: try `ollama list` there, and look in its log for a model "
        "folder (OLLAMA_MODELS) that is missing, full, broken or not readable.",
    ),
    Reason.BLOCKED: Explanation(
        cause="Its address is one that is never asked",
        seen="The address is one that is never connected to.",
        advice="Link-local, metadata and multicast addresses are never asked: use another address of the server; any"
        " other one must be in OLLAMA_FLEET_ALLOWED_NETWORKS.",
    ),
    Reason.CREDENTIAL: Explanation(
        cause="Its stored credential cannot be decrypted",
        seen="The stored credential cannot be decrypted.",
        advice="Put the key that it was sealed with back into the key ring (`ollama-fleet keys list`), or give the "
        "credential anew: `ollama-fleet servers set {name} --auth-type …`.",
    ),
    Reason.LOCAL: Explanation(
        cause="The monitor's own machine is at fault, not the server",
        seen="This machine itself had no descriptors, memory or network.",
        advice="This machine is at fault, not {host}: check its network, memory and open files (ulimit -n), then ask"
        " again.",
    ),
    Reason.FLAPPING: Explanation(
        cause="It goes up and down too often",
        seen="Five changes between available and down within 20 intervals.",
        advice="It stays down until it has kept still for four intervals. Look in Ollama's log on {host} for what ends "
        "and restarts it (journalctl -u ollama); `ollama-fleet events --type server.down` shows when it fell.",
    ),
    Reason.NOISY: Explanation(
        cause="Its models change more than is followed",
        seen="More changes of its models, or of what it has in memory, than its allowance: 20,000, and one a second.",
        advice="What is on record is from before, and is true again once {host} has listed the same for 5 min to 2 h. "
        "See with `curl -sS {url}/api/tags` what changes: does a proxy spread the questions over servers with other "
        "models each? Then register each of them by itself.",
    ),
}
# Details that say what is to be done better than the reason does.
HTTPS_REDIRECT = "A redirect (HTTP {status}) to {url}; not followed."
HTTPS_PORT = "The port speaks HTTPS, and refuses plain HTTP (HTTP 400)."
FORBIDDEN_PATH = "A proxy forbids the path {path} (HTTP 403), though the server answers on /."
_HTTPS_ADDRESS = re.compile(r"A redirect \(HTTP 3\d\d\) to (https://\S+); not followed\.")
_FORBIDDEN = re.compile(re.escape(FORBIDDEN_PATH).replace(re.escape("{path}"), r"\S+"))
SPEAKS_HTTPS = (
    "It is to be asked at {https}: if that is the same server, write this address in its URL, `ollama-fleet servers "
    "set {name} --url {https}`."
)
ALLOW_PATH = (
    "The proxy in front of {host} lets only some paths through: have it allow /api/ for this machine, or /v1/models, "
    "and then say that the server speaks nothing else, `ollama-fleet servers set {name} --api openai`."
)
# Of a list that fails, by the reason why.
LIST_ADVICE = {
    Reason.AUTH: "A proxy lets the check of {host} through, but wants a credential for its list of models: give it "
    "with `ollama-fleet servers set {name} --auth-type …`, or have the proxy let /api/ through as a whole.",
    Reason.BUSY: "Something before {host} limits how often its list of models may be asked for (HTTP 429): raise that "
    "limit for this machine, or have lists asked for less often with OLLAMA_FLEET_DISCOVERY_INTERVAL.",
    Reason.NOT_OLLAMA: "In place of the list of models of {host} something else comes, such as a page: have the proxy "
    "in front of it pass on /api/ as a whole; `curl -sS {url}/api/tags` shows what comes.",
    Reason.SERVER_ERROR: "{host} is alive but fails to list, and the detail has its own words: try `ollama list` "
    "there, and look in its log for a model folder (OLLAMA_MODELS) that is missing, full, broken or not readable.",
    Reason.TOO_LARGE: "The list of models of {host} is longer than any true one, or a proxy changes it: look at it "
    "with `curl -sS {url}/api/tags`.",
    Reason.TIMEOUT: "The list of models of {host} takes longer than its time-out: are there many models, or is the "
    "disk slow? Give it a longer one with `ollama-fleet servers set {name} --timeout …`.",
}
# Of a server on the very machine that asks.
REFUSED_HERE = "Start Ollama on this machine (`ollama serve`)."
REFUSED_ON_PORT = f"{REFUSED_HERE[:-1]}, or correct the port: its own is {base_url.OLLAMA_PORT}, this is {{port}}."


def known(text: str | None) -> Reason | None:
    """Return the reason of a stored text; None for none, and for one that only a later version knows."""
    return next((reason for reason in Reason if reason == text), None)


def cause(text: str | None) -> str | None:
    """Return what is wrong with a server that has this reason; None when nothing is, or it is not known."""
    reason = known(text)
    return None if reason in {None, Reason.OK} else EXPLANATIONS[reason].cause


def advice(reason: Reason, url: str, *, name: str = "NAME", detail: str | None = None) -> str:
    """Return what to do next about a server at a base URL; `name` is how it is typed in a command.

    `detail` is what was seen: where it says more than the reason, the advice is about that.
    """
    place = {**_place(url), "name": name}
    words = EXPLANATIONS[reason].advice
    if reason is Reason.REFUSED and _is_here(url):
        words = REFUSED_HERE if place["port"] == str(base_url.OLLAMA_PORT) else REFUSED_ON_PORT
    elif detail and reason in {Reason.NOT_OLLAMA, Reason.LIST_FAILED}:
        listing = known(detail.partition(":")[0]) if reason is Reason.LIST_FAILED else None
        what = detail.partition(": ")[2] if listing is not None else detail
        address = _https(what, url)
        if address is not None:
            words, place["https"] = SPEAKS_HTTPS, address
        elif _FORBIDDEN.match(what):
            words = ALLOW_PATH
        elif listing is not None:
            words = LIST_ADVICE.get(listing, words)
    return words.format_map(place)


def _https(detail: str, url: str) -> str | None:
    """Return the address with https that a detail says is the right one."""
    found = _HTTPS_ADDRESS.match(detail)
    if found is not None:
        return found[1]
    if detail != HTTPS_PORT:
        return None
    place = _place(url)
    return f"https://{place['address']}{urlsplit(place['url']).path}"


def detail(reason: str | None, stored: str | None, *, answers: bool) -> str | None:
    """Return the particulars of a verdict; of a server that flaps also whether it `answers` now."""
    if known(reason) is not Reason.FLAPPING:
        return stored
    return f"{(stored or '').removesuffix('.')}; {'answers' if answers else 'does not answer'} now"


def _is_here(url: str) -> bool:
    """Whether a URL names the machine that asks."""
    try:
        normal = base_url.normalize(url)
    except InvalidUrlError:
        return False
    address = base_url.literal_address(normal)
    return urlsplit(normal).hostname == "localhost" if address is None else address.is_loopback


def _place(url: str) -> dict[str, str]:
    try:
        parts = urlsplit(base_url.normalize(url))
    except InvalidUrlError:
        # Edited by hand in the database; the verdict says what is wrong with it.
        return {"host": "the server", "port": "of the URL", "address": "HOST:PORT", "url": "URL"}
    host, port = parts.hostname or "", str(parts.port or base_url.DEFAULT_PORTS[parts.scheme])
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return {"host": host, "port": port, "address": address, "url": parts.geturl()}
