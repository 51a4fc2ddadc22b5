"""What to do next about each reason a server can give: one sentence, for somebody who was just woken."""

from urllib.parse import urlsplit

from api.fleet.access import binding
from monitor.domain import url as base_url
from monitor.domain.errors import InvalidUrlError
from monitor.domain.probe import Reason

SENTENCES = {
    Reason.OK: "Nothing is to be done: the server answers as Ollama does.",
    Reason.DNS: (
        "Does `getent hosts {host}` find it on this machine? Correct the name or the resolver, or write the address "
        "in the URL."
    ),
    Reason.REFUSED: (
        "Nothing listens on port {port} of {host}: is Ollama running there, and does OLLAMA_HOST make it listen on "
        "that address, not only on 127.0.0.1?"
    ),
    Reason.UNREACHABLE: (
        "No way leads from this machine to {host}: is it switched on, in the same network or behind a VPN that is up? "
        "`ip route get` with its address shows which way is taken."
    ),
    Reason.CONNECT_TIMEOUT: (
        "{host} does not even refuse: is the machine on, and does a firewall drop what goes to its port {port}?"
    ),
    Reason.TIMEOUT: (
        "The port is open but no whole answer came: look at the load and at Ollama's log on {host} "
        "(journalctl -u ollama), restart it if it hangs; if it is only slow, give it a longer timeout."
    ),
    Reason.RESET: (
        "Something hung up in mid-answer: look in Ollama's log on {host} for a crash or a restart; if a proxy stands "
        "before it or port {port} speaks TLS, look there."
    ),
    Reason.TLS: (
        "`openssl s_client -connect {address} -servername {host}` shows the certificate: its name, its dates, and an "
        "authority this machine trusts must fit; if port {port} speaks no TLS, write http:// in the URL."
    ),
    Reason.AUTH: (
        "A proxy in front of {host} wants a credential, Ollama itself never does: give it with `ollama-fleet servers "
        "set {name} --auth-type …`, or have the proxy let this machine through."
    ),
    Reason.HOST_RULE: (
        "Ollama on {host} listens on loopback only and refuses other names: set OLLAMA_HOST=0.0.0.0 there and restart "
        "it, or have the proxy in front of it send `Host: localhost`."
    ),
    Reason.NOT_OLLAMA: (
        "Something else than Ollama answers on port {port} of {host}: check host, port (Ollama's own is 11434) and "
        "path of the URL."
    ),
    Reason.BUSY: (
        "It is alive and has no room: wait, see with `ollama ps` on {host} what it works at, or raise OLLAMA_MAX_QUEUE."
    ),
    Reason.SERVER_ERROR: (
        "Read Ollama's log on {host} (journalctl -u ollama); 502 or 504 comes from a proxy that does not reach it."
    ),
    Reason.PROTOCOL: (
        "That is no proper HTTP: check scheme, host and port of the URL; does another service have port {port} of "
        "{host}, or a proxy change the answers?"
    ),
    Reason.TOO_LARGE: "No Ollama answers with that much: find out what listens on port {port} of {host}.",
    Reason.BAD_JSON: (
        "Look at the answer with `curl -sS {url}/api/version`: a proxy may change it; if none does, update Ollama on "
        "{host}."
    ),
    Reason.LIST_FAILED: (
        "Ollama on {host} is alive but cannot list: try `ollama list` there, and look in its log for a model folder "
        "(OLLAMA_MODELS) that is missing, full, broken or not readable."
    ),
    Reason.BLOCKED: (
        "Link-local, metadata and multicast addresses are never asked: use another address of the server; any other "
        "one must be in OLLAMA_FLEET_ALLOWED_NETWORKS."
    ),
    Reason.CREDENTIAL: (
        "Put the key that it was sealed with back into the key ring (`ollama-fleet keys list`), or give the credential "
        "anew: `ollama-fleet servers set {name} --auth-type …`."
    ),
    Reason.LOCAL: (
        "This machine is at fault, not {host}: check its network, memory and open files (ulimit -n), then ask again."
    ),
}


# Of a server on the very machine that asks.
REFUSED_HERE = "Start Ollama on this machine (`ollama serve`)."
REFUSED_ON_PORT = f"{REFUSED_HERE[:-1]}, or correct the port: its own is 11434, this is {{port}}."
OWN_PORT = "11434"


def sentence(reason: Reason, url: str, *, name: str = "NAME") -> str:
    """Return what to do next about a server at a base URL; `name` is how it is typed in a command."""
    place = {**_place(url), "name": name}
    is_here = reason is Reason.REFUSED and binding.is_loopback(place["host"])
    words = SENTENCES[reason]
    if is_here:
        words = REFUSED_HERE if place["port"] == OWN_PORT else REFUSED_ON_PORT
    return words.format_map(place)


def _place(url: str) -> dict[str, str]:
    try:
        parts = urlsplit(base_url.normalize(url))
    except InvalidUrlError:
        # Edited by hand in the database; the verdict says what is wrong with it.
        return {"host": "the server", "port": "of the URL", "address": "HOST:PORT", "url": "URL"}
    host, port = parts.hostname or "", str(parts.port or base_url.DEFAULT_PORTS[parts.scheme])
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return {"host": host, "port": port, "address": address, "url": parts.geturl()}
