// The event log: newest first, what comes at the top by itself, what was before by asking.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { get, Problem } from "../api.js";
import * as clock from "../clock.js";
import * as marks from "../marks.js";
import * as suggestions from "../suggestions.js";
import * as texts from "../texts.js";
import { reasonCause, silence } from "../verdicts.js";

const TYPES = [
  "server.up", "server.degraded", "server.down", "server.suspected", "server.cleared", "server.flapping", "server.created", "server.updated", "server.deleted",
  "model.added", "model.changed", "model.removed", "model.loaded", "model.unloaded", "monitor.isolated", "monitor.recovered",
];
const RECOVERED = new Map([[true, "they really were down"], [false, "it was no outage"]]);
const WORDS = {
  "server.suspected": ({ suspect_reason: reason }) => `${reasonCause(reason) || "It has given bad answers"} – no verdict yet`,
  "server.cleared": ({ lasted_seconds: seconds }) => `not suspect any more${seconds === undefined ? "" : `, after ${texts.milliseconds(seconds * 1000)}`}`,
  "monitor.isolated": (body) => `${silence(body).text}; verdicts are held ${body.until ? `until ${clock.moment(body.until)}` : "for a moment"}`,
  "monitor.recovered": (body) => `${RECOVERED.get(body.outage) ?? "it is over"}: ${silence(body).text}`,
};
const ENOUGH = 100;
const FIRST_SPAN = 500;
const WIDEST_SPAN = 50_000;
const LIMIT = 1000;

export class EventLog {
  constructor(app) {
    this.app = app;
    this.title = "Events";
    const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
    this.type = TYPES.includes(query.get("type")) ? query.get("type") : "";
    this.serverId = query.get("server_id") ?? "";
    this.typed = null;
    this.#reset();
  }

  enter() {
    this.#readBack();
  }

  hear(event) {
    if (!this.#isWanted(event) || (this.items.length && event.seq <= this.items[0].seq)) return;
    this.items = [event, ...this.items];
  }

  #reset() {
    this.items = [];
    // Everything above this number that is wanted is in `items`.
    this.below = null;
    this.isAtEnd = false;
    this.problem = null;
    this.asked = (this.asked ?? 0) + 1;
  }

  #isWanted({ type, server_id: serverId }) {
    return (!this.type || type === this.type) && (!this.serverId || serverId === this.serverId);
  }

  #filter(changes) {
    Object.assign(this, changes);
    this.#reset();
    this.#readBack();
  }

  // Read on towards the beginning, in wider and wider steps, until there is enough to see.
  async #readBack() {
    const asked = this.asked;
    this.isReading = true;
    this.app.redraw();
    try {
      if (this.below === null) this.below = (await get("/api/events?limit=1")).head;
      let span = FIRST_SPAN;
      for (let found = 0; found < ENOUGH && !this.isAtEnd; span = Math.min(span * 2, WIDEST_SPAN)) {
        const { items, first } = await this.#between(Math.max(0, this.below - span), this.below);
        if (asked !== this.asked) return;
        const known = new Set(this.items.map(({ seq }) => seq));
        this.items = [...this.items, ...items.reverse().filter(({ seq }) => !known.has(seq))];
        found += items.length;
        this.below = Math.max(0, this.below - span);
        this.isAtEnd = this.below < first;
      }
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (asked === this.asked) this.problem = error;
    } finally {
      if (asked === this.asked) this.isReading = false;
      this.app.redraw();
    }
  }

  async #between(after, last) {
    const found = [];
    for (let cursor = after; cursor < last; ) {
      const page = await this.#page(cursor);
      found.push(...page.items.filter(({ seq }) => seq <= last));
      if (page.last_seq <= cursor) return { items: found, first: page.first_seq };
      cursor = page.last_seq;
      if (cursor >= last) return { items: found, first: page.first_seq };
    }
    return { items: found, first: last };
  }

  async #page(cursor) {
    const query = new URLSearchParams({ after: cursor, limit: LIMIT });
    if (this.type) query.set("type", this.type);
    if (this.serverId) query.set("server_id", this.serverId);
    try {
      return await get(`/api/events?${query}`);
    } catch (error) {
      // Older than the log: begin with the oldest that is held.
      if (error.code !== "cursor_expired") throw error;
      query.delete("after");
      return get(`/api/events?${query}`);
    }
  }

  // A name that is complete is a wish; anything else is on its way to one.
  #type(text) {
    this.typed = text;
    const named = [...this.app.fleet.servers.values()].find(({ name }) => name === text.trim());
    const serverId = named?.id ?? "";
    if (serverId !== this.serverId && (named || !text.trim())) this.#filter({ serverId });
    this.app.redraw();
  }

  view() {
    const { servers } = this.app.fleet;
    const chosen = servers.get(this.serverId)?.name ?? (this.serverId && "a removed server");
    const typed = this.typed ?? chosen;
    const isOdd = typed.trim() !== chosen && typed.trim() !== "";
    return html`<h1 tabindex="-1">Events</h1>
      <div class="filters" role="group" aria-label="Which events are shown">
        <label>Type <select .value=${live(this.type)} @change=${(event) => this.#filter({ type: event.target.value })}>
          <option value="">all types</option>${TYPES.map((type) => html`<option value=${type} ?selected=${type === this.type}>${type}</option>`)}</select></label>
        <label>Server <input type="search" list="known-servers" placeholder="all servers" autocomplete="off" spellcheck="false" dir="auto" .value=${live(typed)}
          aria-describedby=${isOdd ? "odd-server" : nothing} @input=${(event) => this.#type(event.target.value)}></label>
        ${suggestions.list("known-servers", servers.values(), typed)}
        ${isOdd ? html`<small id="odd-server">No server is called just that; shown ${this.serverId ? html`is <bdi>${chosen}</bdi>` : "are all"}.</small>` : nothing}
      </div>
      ${marks.problemNote(this.problem)}
      ${this.items.length ? this.#list() : html`<p class="nothing">${this.isReading ? "Reading the log …" : "No such event is in the log."}</p>`}
      ${this.isAtEnd || !this.items.length ? nothing : html`<p class="pager"><button type="button" class="secondary" ?disabled=${this.isReading} @click=${() => this.#readBack()}>Older events</button></p>`}`;
  }

  #list() {
    return html`<ol class="events" reversed>${repeat(this.items, ({ seq }) => seq, (event) => html`<li class=${event.type.replace(".", "-")}>
      <span class="seq">${event.seq}</span> <time datetime=${event.at} title=${event.at}>${clock.moment(event.at)}</time>
      <span class="type">${event.type}</span> <span class="about">${this.#about(event)}</span></li>`)}</ol>`;
  }

  #about({ type, server_id: id, body }) {
    const server = this.app.fleet.servers.get(id);
    const who = server ? marks.serverLink(server) : html`<bdi>${body.name && type.startsWith("server.") ? body.name : id ? "a removed server" : ""}</bdi>`;
    return html`${who} <small><bdi>${told(type, body)}</bdi></small>`;
  }
}

function told(type, body) {
  if (type in WORDS) return WORDS[type](body);
  if ("to" in body) return [body.from && `was ${body.from}`, body.to === "up" ? "" : reasonCause(body.reason), body.to === "up" ? "" : body.detail].filter(Boolean).join(" – ");
  if (type.startsWith("model.")) return [body.model_name, type === "model.loaded" ? `${texts.bytes(body.size_vram)} VRAM` : ""].filter(Boolean).join(" – ");
  if (type === "server.updated") return Object.keys(body).filter((name) => name !== "row_version" && name !== "actor").join(", ");
  return body.url ?? body.detail ?? "";
}
