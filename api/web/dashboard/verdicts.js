// What each status and reason means in plain words, and what to do next about it.

const REASONS = {
  ok: ["It answers as Ollama does", "Nothing is to be done."],
  dns: ["Its name is not found", "Correct the name in the URL or this machine's resolver, or write the address in the URL."],
  refused: ["Nothing listens on its port", "Is Ollama running there, and does OLLAMA_HOST make it listen on that address, not only on 127.0.0.1?"],
  unreachable: ["No way leads to it", "Is the machine on, in the same network, or behind a VPN that is up?"],
  connect_timeout: ["It does not even refuse to connect", "Is the machine on, and does a firewall drop what goes to its port?"],
  timeout: ["It takes the connection but does not answer in time", "Look at its load and at Ollama's log (journalctl -u ollama). If it is only slow, give it a longer time-out."],
  reset: ["It hung up in mid-answer", "Look in Ollama's log for a crash or a restart, and at the proxy before it, if there is one."],
  tls: ["The encrypted connection fails", "Check the certificate: name, dates, and its authority; one of your own is given with the server, as a client certificate is. Without TLS the URL begins with http://."],
  auth: ["It wants a credential, or another one", "A proxy before Ollama asks who is there: edit the server and set its credential."],
  host_rule: ["It refuses every name but its own", "Set OLLAMA_HOST=0.0.0.0 there and restart it, or have its proxy send Host: localhost."],
  not_ollama: ["Something else than Ollama answers", "Check host, port (Ollama's own is 11434) and path of the URL."],
  busy: ["It is alive but has no room", "Something before it limits questions (429): look at the limits of the proxy, or let checks through."],
  server_error: ["It answers with an error of its own", "502, 503 and 504 come from a proxy that does not reach Ollama: is it running? Else read its log (journalctl -u ollama)."],
  protocol: ["What it answers is no proper HTTP", "Check scheme, host and port of the URL: another service may have that port."],
  too_large: ["Its answer is far too big", "No Ollama answers with that much: find out what listens there."],
  bad_json: ["Its answer cannot be read", "A proxy may change it. If none does, update Ollama there."],
  list_failed: ["It is alive but cannot list its models", "Try `ollama list` there, and look in its log for a model folder (OLLAMA_MODELS) that is missing, full or not readable."],
  blocked: ["Its address is one that is never asked", "Link-local, metadata and multicast addresses are refused; any other must be in OLLAMA_FLEET_ALLOWED_NETWORKS."],
  credential: ["Its stored credential cannot be decrypted", "Restore the key it was stored with, or edit the server and set the credential anew."],
  local: ["The monitor's own machine is at fault, not the server", "Check the network, memory and open files (ulimit -n) of the machine that monitors."],
  flapping: ["It goes up and down too often", "It stays down until it keeps still. Look in Ollama's log for what ends and restarts it (journalctl -u ollama)."],
  noisy: ["Its models change more than is followed", "What is shown is from before, until it lists the same for a while. Does a proxy spread questions over servers with other models each? Register each by itself."],
};

// Why a list fails, by the reason that its detail begins with.
const LISTS = {
  auth: "Its proxy wants a credential for the list of models: edit the server and set it, or have the proxy let /api/ through.",
  busy: "Something before it limits how often its list may be asked for (429): raise that limit for this machine.",
  not_ollama: "In place of its list of models something else comes, such as a page: have its proxy pass on /api/ as a whole.",
  server_error: "The detail has its own words. Try `ollama list` there, and look for a model folder (OLLAMA_MODELS) that is missing, full or not readable.",
  timeout: "Its list takes longer than its time-out: give it a longer one.",
};
const HTTPS_ADDRESS = /A redirect \(HTTP 3\d\d\) to (https:\/\/\S+); not followed\.$/;

export const STATES = ["down", "degraded", "unknown", "up", "off"];
export const WORDS = { up: "Up", degraded: "Degraded", down: "Down", unknown: "Unknown", off: "Switched off" };

// The state that a person sees: a server that is switched off has no other.
export function state(server) {
  if (!server.is_active) return "off";
  return server.status in WORDS ? server.status : "unknown";
}

// Bad answers have been seen of it, and there is no verdict yet. Where nobody checks, none is waited for.
export function isSuspect(server) {
  return Boolean(server.suspect_since) && server.is_active && !server.stale && server.status !== "down";
}

// The same as `explain` for what it is suspected of.
export function suspicion(server) {
  return {
    cause: reasonCause(server.suspect_reason) || "It has given bad answers",
    next: "A verdict comes within seconds, or the suspicion clears by itself.",
  };
}

// What an isolated monitor sees, and where to look.
export function silence({ servers, of, cause }) {
  const number = `${servers} of ${of} servers`;
  if (cause === "local") return { text: `${number} could not be asked, by faults of the monitor's own host (local)`, next: "Check its network, memory and open files (ulimit -n)." };
  if (cause === "dns") return { text: `The names of ${number} are not found any more (dns)`, next: "See whether the resolver of the monitor's host works." };
  return { text: `${number} stopped answering at once (${cause})`, next: "See whether the monitor's host has lost its network." };
}

// `cause` says what is wrong in plain words, `next` what to do about it; both are empty when nothing is wrong.
export function explain(server) {
  const seen = state(server);
  if (seen === "off") return { cause: "It is not checked, and gets no requests", next: "" };
  if (seen === "unknown") return { cause: reasonCause(server.status_reason) || "Not checked yet", next: "" };
  if (seen === "up") return { cause: "", next: "" };
  return { cause: reasonCause(server.status_reason) || "No reason is known", next: particulars(server) || reasonNext(server.status_reason) };
}

// What the detail says to do, where that is more than the reason says.
function particulars({ status_reason: reason, status_detail: detail }) {
  if (!detail || !["not_ollama", "list_failed"].includes(reason)) return "";
  const address = HTTPS_ADDRESS.exec(detail)?.[1];
  if (address) return `If ${address} is the same server, write that in its URL.`;
  if (detail.endsWith("The port speaks HTTPS, and refuses plain HTTP (HTTP 400).")) return "Write https:// in its URL, with the same port.";
  if (detail.includes("A proxy forbids the path ")) return "Have its proxy allow /api/ for this machine, or /v1/models; then say that its API is OpenAI-style only.";
  return reason === "list_failed" ? (LISTS[detail.split(":", 1)[0]] ?? "") : "";
}

export function reasonCause(reason) {
  return reason ? (REASONS[reason]?.[0] ?? reason) : "";
}

export function reasonNext(reason) {
  return REASONS[reason]?.[1] ?? "";
}

const WORST_FIRST = new Map(STATES.map((name, place) => [name, place]));
const AFTER_DOWN = 0.5;

function badness(server) {
  return isSuspect(server) ? AFTER_DOWN : WORST_FIRST.get(state(server));
}

// Worst first; of the bad ones those that changed last, all others by name.
export function compare(byName) {
  return (one, other) => {
    const worse = badness(one);
    const difference = worse - badness(other) || other.stale - one.stale;
    if (difference) return difference;
    if (worse === AFTER_DOWN) return byName(one.name, other.name);
    const mine = state(one);
    if ((mine === "down" || mine === "degraded") && one.status_changed_at !== other.status_changed_at) {
      return one.status_changed_at > other.status_changed_at ? -1 : 1;
    }
    return byName(one.name, other.name);
  };
}
