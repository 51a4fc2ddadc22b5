// All servers on one page, worst first: what is wrong, since when, why, and what to do.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { guard } from "../vendor/lit-html/directives/guard.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import * as clock from "../clock.js";
import * as marks from "../marks.js";
import * as texts from "../texts.js";
import { Ranking } from "../ranking.js";
import { explain, isSuspect, state, STATES, suspicion, WORDS } from "../verdicts.js";

const PAGE = 100;
// So many fill the tallest window; the rest of the page follows in the next frames.
const STEP = 25;
const SHOWN_LOADED = 3;

export class Overview {
  constructor(app) {
    this.app = app;
    this.title = "Overview";
    this.wanted = null;
    this.text = "";
    this.start = 0;
    this.most = STEP;
    this.shown = [];
    this.ranking = new Ranking(app.fleet);
  }

  enter() {
    this.most = STEP;
  }

  view() {
    const { fleet } = this.app;
    const { servers: all, counts, found } = this.ranking.take(this.wanted, this.text);
    if (!all.length) return fleet.isComplete ? empty() : html`<h1 tabindex="-1">Overview</h1><p class="starting" aria-busy="true">Asking for the fleet …</p>`;
    this.start = Math.max(0, Math.min(this.start, Math.floor((found.length - 1) / PAGE) * PAGE));
    this.shown = found.slice(this.start, this.start + this.most);
    return html`<h1 tabindex="-1">${fleet.isComplete ? headline(counts, all.length) : `${texts.count(all.length, "server")} so far …`}${this.app.isPast
        ? html` <small>as of ${clock.timeOfDay(this.app.feed.heardAt)}</small>` : nothing}</h1>
      ${this.#filters(counts, all.length)}
      <p class="heard" role="status">${found.length < all.length ? `${found.length.toLocaleString("en")} of ${texts.count(all.length, "server")} found` : ""}</p>
      ${found.length ? this.#table(this.shown) : html`<p class="nothing">No server is like that. <button type="button" class="plain" @click=${() => this.#show({ wanted: null, text: "" })}>Show all</button></p>`}
      ${this.#pager(found.length)}`;
  }

  drawn() {
    this.app.freshness.show(this.shown.map(({ id }) => id));
    if (this.most >= PAGE || this.shown.length < this.most) return;
    this.most += STEP;
    this.app.redraw();
  }

  #show(changes) {
    Object.assign(this, { start: 0, most: STEP, ...changes });
    this.app.redraw();
  }

  #filters(counts, total) {
    const chip = (name, word, number) => html`<button type="button" class="chip ${name ?? ""}" aria-pressed=${this.wanted === name ? "true" : "false"}
      @click=${() => this.#show({ wanted: name })}>${name ? html`<svg class="mark" aria-hidden="true"><use href="#mark-${name}"></use></svg>` : nothing} ${word} <b>${number.toLocaleString("en")}</b></button>`;
    return html`<div class="filters" role="group" aria-label="Which servers are shown">
      ${chip(null, "All", total)}
      ${STATES.filter((name) => counts[name] || this.wanted === name).map((name) => chip(name, WORDS[name], counts[name]))}
      ${counts.suspect || this.wanted === "suspect" ? chip("suspect", "Suspect", counts.suspect) : nothing}
      <input type="search" aria-label="Find by name, URL, label or model" placeholder="Find by name, URL, label or model" .value=${live(this.text)}
        @input=${(event) => this.#show({ text: event.target.value })}>
    </div>`;
  }

  #table(servers) {
    const { fleet, tick, isPast } = this.app;
    const head = ["State", "Server", "Why, and what to do", "Last 24 h", "Latency", "Models", "Version, slots"];
    return html`<table class="servers" role="table" aria-label="Servers, worst first">
      <thead role="rowgroup"><tr role="row">${head.map((name) => html`<th scope="col" role="columnheader">${name}</th>`)}</tr></thead>
      <tbody role="rowgroup">${repeat(
        servers,
        (server) => server.id,
        (server) => html`${guard([server, tick, isPast, fleet.models(server.id), fleet.models(server.id).size, fleet.history.get(server.id)], () => this.#row(server))}`,
      )}</tbody>
    </table>`;
  }

  #row(server) {
    const { fleet, isPast } = this.app;
    const seen = state(server);
    const history = fleet.history.get(server.id);
    return html`<tr role="row" class="server ${seen} ${server.stale || isPast ? "stale" : ""} ${isSuspect(server) && !isPast ? "suspect" : ""}" data-id=${server.id}>
      <td role="cell" class="is">${marks.serverMarks(server, isPast)}<small class="since">${since(server, seen)}</small></td>
      <th role="rowheader" scope="row" class="who">${marks.serverLink(server)}${server.is_default ? html` <span class="tag">default</span>` : nothing}
        <small class="url" dir="ltr">${server.url}</small></th>
      <td role="cell" class="why">${why(server, seen, isPast)}</td>
      <td role="cell" class="past">${marks.uptimeBar(history)}</td>
      <td role="cell" class="latency">${marks.sparkLine(history?.latency_ms)}<span class="figure" title="Last check ${clock.moment(server.last_checked_at)}">${seen === "up" || seen === "degraded" ? texts.milliseconds(server.latency_ms) : "–"}</span></td>
      <td role="cell" class="models">${modelsCell([...fleet.models(server.id).values()])}</td>
      <td role="cell" class="version"><bdi>${server.server_version ?? "–"}</bdi><small>${texts.count(server.max_concurrent, "slot")}</small></td>
    </tr>`;
  }

  #pager(found) {
    if (found <= PAGE) return nothing;
    const go = (start) => () => {
      this.#show({ start });
      scrollTo(0, 0);
    };
    const last = Math.min(this.start + PAGE, found);
    return html`<nav class="pager" aria-label="Pages of servers">
      <button type="button" class="secondary" ?disabled=${this.start === 0} @click=${go(this.start - PAGE)}>Worse</button>
      <span role="status">${(this.start + 1).toLocaleString("en")} – ${last.toLocaleString("en")} of ${found.toLocaleString("en")}</span>
      <button type="button" class="secondary" ?disabled=${last === found} @click=${go(this.start + PAGE)}>Better</button>
    </nav>`;
  }
}

function headline(counts, total) {
  const bad = ["down", "suspect", "degraded"].filter((name) => counts[name]).map((name) => `${counts[name].toLocaleString("en")} ${name}`);
  if (bad.length) return `${bad.join(", ")} of ${texts.count(total, "server")}`;
  const able = counts.up;
  if (able && able + counts.off === total) return total === 1 ? "The server is up" : `All ${texts.count(able, "server")} ${able === 1 ? "is" : "are"} up`;
  return `${able.toLocaleString("en")} of ${texts.count(total, "server")} up`;
}

function since(server, seen) {
  if (seen === "off" || !server.status_changed_at) return nothing;
  return html`<time datetime=${server.status_changed_at} title="Since ${clock.moment(server.status_changed_at)}">for ${clock.since(server.status_changed_at)}</time>`;
}

function why(server, seen, isPast) {
  const { cause, next } = explain(server);
  const isOld = (server.stale || isPast) && seen !== "off" && server.last_checked_at;
  const doubt = isSuspect(server) && !isPast ? html`<span class="suspicion">${marks.suspicionLine(server)}</span><small>${suspicion(server).next}</small>` : nothing;
  return html`${doubt}${cause ? html`<span class="cause" title=${server.status_detail ?? ""}>${cause}</span>` : nothing}${next
    ? html`<small>${marks.prose(next)}</small>` : nothing}${isOld ? html`<small>Last checked ${marks.ago(server.last_checked_at)}; what it is now is not known.</small>` : nothing}`;
}

function modelsCell(models) {
  const loaded = models.filter(marks.isLoaded);
  return html`<span class="figure">${models.length}</span><span class="narrow"> models</span>
    ${loaded.slice(0, SHOWN_LOADED).map(marks.loadedModel)}${loaded.length > SHOWN_LOADED ? html`<small>+${loaded.length - SHOWN_LOADED} loaded</small>` : nothing}`;
}

function empty() {
  return html`<section class="empty">
    <h1 tabindex="-1">No servers yet</h1>
    <p>Add the first one: the address at which Ollama answers, for example <code>http://10.0.0.5:11434</code>. It is checked within a second, and this page shows what comes of it.</p>
    <p><a class="button" href="#/servers/new">Add a server</a></p>
    <p>Or from a terminal:</p>
    <pre><code>ollama-fleet servers add gpu-1 http://10.0.0.5:11434</code></pre>
    <p class="hint">On that machine OLLAMA_HOST has to let Ollama listen on more than 127.0.0.1.</p>
  </section>`;
}
