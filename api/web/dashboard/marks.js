// Small parts that several pages show: a state, a name, an uptime bar, a spark line, a loaded model.

import { html, nothing, svg } from "./vendor/lit-html/lit-html.js";
import * as clock from "./clock.js";
import * as texts from "./texts.js";
import { isSuspect, state, suspicion, WORDS } from "./verdicts.js";

const SLOT_WORDS = { u: "up", d: "down", g: "degraded", n: "not known" };
const DAY_SECONDS = 86_400;
const NEARLY_ALL = 0.99;
const BAR_HEIGHT = 18;
const SPARK_WIDTH = 72;

// Never by colour alone: each state has a shape and a word of its own.
export function stateMark(name) {
  return html`<span class="state ${name}"><svg class="mark" aria-hidden="true"><use href="#mark-${name}"></use></svg> ${WORDS[name]}</span>`;
}

// `isPast`: the page itself does not hear what happens, so that all it shows is of the past.
export function serverMarks(server, isPast = false) {
  const seen = state(server);
  return html`${stateMark(seen)}${(server.stale || isPast) && seen !== "off"
    ? html`<span class="tag warn" title=${isPast ? "The page does not hear from the fleet, so this is of the past" : "Its last check is older than it should be, so this is of the past"}>stale</span>`
    : nothing}${isPast ? nothing : suspectTag(server)}${server.flapping_since
    ? html`<span class="tag warn" title="It goes up and down too often, so it is not trusted until it keeps still">flapping</span>`
    : nothing}`;
}

export function suspectTag(server) {
  return isSuspect(server)
    ? html`<span class="tag warn" title="Bad answers have been seen since ${clock.moment(server.suspect_since)}, and there is no verdict yet">suspect</span>`
    : nothing;
}

// For how long it has been suspect, and of what.
export function suspicionLine(server) {
  return html`Suspect for <time datetime=${server.suspect_since} title="Since ${clock.moment(server.suspect_since)}">${clock.since(server.suspect_since)}</time>: ${suspicion(server).cause}`;
}

export function serverLink(server) {
  return html`<a href="#/servers/${server.id}"><bdi>${server.name}</bdi></a>`;
}

export function ago(moment, never = "never") {
  return moment ? html`<time datetime=${moment} title=${clock.moment(moment)}>${clock.since(moment)} ago</time>` : never;
}

// A strip of `/api/history`; its `slots` are a letter each: u up, d down, g degraded, n not known. Newest is at the right.
export function uptimeBar(strip) {
  if (!strip) return nothing;
  const { slots } = strip;
  const counts = Object.entries(SLOT_WORDS)
    .map(([letter, word]) => [word, slots.split(letter).length - 1])
    .filter(([, number]) => number)
    .map(([word, number]) => `${word} in ${number}`)
    .join(", ");
  return html`<svg class="uptime" role="img" viewBox="0 0 ${slots.length * 2} ${BAR_HEIGHT}" preserveAspectRatio="none"
    aria-label="Last 24 hours in ${slots.length} parts: ${counts}"><title>Last 24 hours: ${counts} of ${slots.length} parts</title>
    ${Object.keys(SLOT_WORDS).map((letter) => svg`<path class="slot ${letter}" d=${slotPath(slots, letter)}></path>`)}</svg>
    ${uptime(strip, DAY_SECONDS)}`;
}

// The share of the time that is known, and how long that is where it is not nearly all.
export function uptime({ uptime: share, unknown_seconds: unknown }, seconds) {
  const known = seconds - unknown;
  return html`<span class="figure">${texts.percent(share)}</span>${known > 0 && known < NEARLY_ALL * seconds
    ? html` <small class="known" title="Of the rest it is not known how the server was">of ${clock.span(known)} known</small>` : nothing}`;
}

// Down is full height, not known low: the shape says it, too.
function slotPath(slots, letter) {
  const height = { u: 11, g: 15, d: BAR_HEIGHT, n: 4 }[letter];
  let path = "";
  for (let place = 0; place < slots.length; place += 1) {
    if (slots[place] === letter) path += `M${place * 2} ${BAR_HEIGHT}v-${height}h1.4v${height}z`;
  }
  return path;
}

export function sparkLine(values) {
  const known = values?.filter((value) => value !== null && value !== undefined) ?? [];
  if (known.length < 2) return nothing;
  const most = Math.max(...known);
  const step = SPARK_WIDTH / (values.length - 1);
  let path = "";
  let isDrawing = false;
  values.forEach((value, place) => {
    const isKnown = value !== null && value !== undefined;
    if (isKnown) path += `${isDrawing ? "L" : "M"}${(place * step).toFixed(1)} ${(15 - (value / most) * 13).toFixed(1)}`;
    isDrawing = isKnown;
  });
  return html`<svg class="spark" role="img" viewBox="0 0 ${SPARK_WIDTH} 16" aria-label="Latency in the last 24 hours, at most ${texts.milliseconds(most)}">
    <title>Latency in the last 24 hours, at most ${texts.milliseconds(most)}</title><path d=${path}></path></svg>`;
}

// How much of a loaded model works on the CPU, from 0 to 1.
export function cpuShare(model) {
  const size = model.loaded_size_bytes;
  return size && model.size_vram !== null && model.size_vram < size ? 1 - model.size_vram / size : 0;
}

export function isLoaded(model) {
  return model.size_vram !== null && model.size_vram !== undefined;
}

export function loadedModel(model) {
  const share = cpuShare(model);
  const partly = share ? `${Math.max(1, Math.round(share * 100))} % CPU` : "";
  return html`<span class="loaded ${share ? "partly" : ""}" title="In memory: ${texts.bytes(model.size_vram)} VRAM${partly ? `, ${partly}` : ""}"
    ><bdi>${model.name}</bdi> ${partly ? html`<small class="cpu">◧ ${partly}</small>` : html`<small>${texts.bytes(model.size_vram)}</small>`}</span>`;
}

// A sentence in which commands stand between backquotes.
export function prose(text) {
  return text.split("`").map((part, place) => (place % 2 ? html`<code>${part}</code>` : part));
}

export function problemNote(problem) {
  return problem ? html`<p class="note bad" role="alert">${problem.message}</p>` : nothing;
}
