// One server: what is with it now and was before, its models, and what can be done with it.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { ask, get, Problem } from "../api.js";
import { Chart } from "../chart.js";
import * as clock from "../clock.js";
import * as marks from "../marks.js";
import * as texts from "../texts.js";
import { explain, isSuspect, reasonCause, state, suspicion } from "../verdicts.js";
import { modelTable } from "./model_table.js";

const WINDOWS = [["1h", "1 hour"], ["24h", "24 hours"], ["7d", "7 days"], ["30d", "30 days"]];
const SECONDS = { "1h": 3_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000 };
const API = { native: "Ollama's own", openai: "OpenAI-style only" };
const HISTORY_MS = 60_000;

export class ServerPage {
  constructor(app, id) {
    this.app = app;
    this.id = id;
    this.window = "24h";
    this.history = null;
    this.busy = "";
    this.answer = null;
    this.chart = new Chart();
  }

  get server() {
    return this.app.fleet.servers.get(this.id);
  }

  get title() {
    return this.server?.name ?? "Server";
  }

  get path() {
    return `/api/servers/${encodeURIComponent(this.id)}`;
  }

  enter() {
    this.#readHistory();
    this.timer = setInterval(() => document.hidden || this.app.isPast || this.#readHistory(), HISTORY_MS);
  }

  leave() {
    clearInterval(this.timer);
    this.chart.leave();
  }

  hear(event) {
    if (event.server_id === this.id && event.type.startsWith("server.")) this.#readHistory();
  }

  drawn() {
    const slots = this.history?.slots;
    if (slots?.length) this.chart.draw(document.getElementById("chart"), slots).catch(() => {});
  }

  async #readHistory() {
    try {
      this.history = await get(`${this.path}/history?window=${this.window}`);
      this.app.redraw();
    } catch {
      // Shown as it was; without any the page has no such part.
    }
  }

  view() {
    const { server } = this;
    if (!server) return this.app.fleet.isComplete ? gone() : html`<h1 tabindex="-1">Server</h1><p class="starting">Asking for the fleet …</p>`;
    const models = [...this.app.fleet.models(this.id).values()].sort((one, other) => texts.byName(one.model_name, other.model_name));
    return html`<div class="top">
        <div><h1 tabindex="-1"><bdi>${server.name}</bdi></h1><p class="url" dir="ltr">${server.url}</p></div>
        ${this.#actions(server)}
      </div>
      ${this.#verdict(server)}
      ${this.#past()}
      <section aria-labelledby="models"><h2 id="models">Models <small>${models.length}</small></h2>
        ${models.length ? modelTable(models, { onSwitch: (model) => this.#switchModel(model) }) : html`<p class="nothing">No models are known. <button type="button" class="plain" @click=${() => this.#discover()}>List them now</button></p>`}
      </section>
      ${settings(server)}`;
  }

  #actions(server) {
    const button = (name, word, act, kind = "secondary") => html`<button type="button" class=${kind} ?disabled=${this.busy !== ""} aria-busy=${this.busy === name ? "true" : "false"} @click=${act}>${word}</button>`;
    return html`<div class="actions" role="group" aria-label="What to do with this server">
      ${button("check", "Check now", () => this.#check())}
      ${button("discover", "Discover now", () => this.#discover())}
      <a class="button secondary" href="#/servers/${server.id}/edit">Edit</a>
      ${button("switch", server.is_active ? "Deactivate" : "Activate", () => this.#switch(server))}
      ${button("remove", "Remove", () => this.#remove(server), "danger")}
    </div>`;
  }

  #verdict(server) {
    const seen = state(server);
    const { cause, next } = explain(server);
    const facts = [
      ["Since", seen === "off" || !server.status_changed_at ? "–" : html`${clock.moment(server.status_changed_at)} (${clock.since(server.status_changed_at)})`],
      ["Last check", marks.ago(server.last_checked_at)],
      ["Latency", texts.milliseconds(server.latency_ms)],
      ["API", `${API[server.api] ?? "–"}${server.api_pinned ? ", as you say" : ""}`],
      ["Version", html`<bdi>${server.server_version ?? "–"}</bdi>`],
      ...(server.tls_expires_at ? [["Certificate until", html`${clock.moment(server.tls_expires_at)}`]] : []),
      ["Models listed", marks.ago(server.models_listed_at)],
      ["Last restart", marks.ago(server.restarted_at, "none seen")],
      ["Last trouble", lastTrouble(this.history?.transitions ?? [], seen)],
      ["Connection watch", server.connection_watch ? (server.watch_state ?? "on") : "off"],
    ];
    const isDoubted = isSuspect(server) && !this.app.isPast;
    return html`<section class="verdict ${seen} ${isDoubted ? "suspect" : ""}" aria-label="Now">
      <p class="sentence">${marks.serverMarks(server, this.app.isPast)} ${cause ? html`<strong>${cause}.</strong>` : nothing}</p>
      ${isDoubted ? html`<p><strong>${marks.suspicionLine(server)}.</strong> ${suspicion(server).next}</p>` : nothing}
      ${server.flapping_since ? html`<p>Not trusted until it keeps still; so it has been for ${clock.since(server.flapping_since)}.</p>` : nothing}
      ${server.status_detail && seen !== "up" && seen !== "off" ? html`<p class="detail"><bdi>${server.status_detail}</bdi></p>` : nothing}
      ${next ? html`<p class="next"><b>Next:</b> ${marks.prose(next)}</p>` : nothing}
      <dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
      ${this.answer ? html`<p class="note ${this.answer.isBad ? "bad" : ""}" role="status">${this.answer.text}</p>` : nothing}
    </section>`;
  }

  #past() {
    if (!this.history) return nothing;
    const { windows = {}, slots = [], transitions = [] } = this.history;
    return html`<section aria-labelledby="history">
      <h2 id="history">History</h2>
      <div class="windows" role="group" aria-label="Time shown in the chart">${WINDOWS.filter(([name]) => windows[name]).map(
        ([name, word]) => html`<button type="button" class="chip" aria-pressed=${this.window === name ? "true" : "false"} @click=${() => this.#show(name)}
          ><span>${word}</span> <span>${marks.uptime(windows[name], SECONDS[name])}</span><small>${windows[name].latency_ms ? `p95 ${texts.milliseconds(windows[name].latency_ms.p95)}` : "no checks"}</small></button>`,
      )}</div>
      ${slots.length ? html`<div id="chart" class="chart" role="img" aria-label="Latency in the time chosen; the figures are above, the changes below"></div>` : nothing}
      ${transitions.length ? transitionList(transitions) : html`<p class="nothing">No change of state in this time.</p>`}
    </section>`;
  }

  #show(name) {
    this.window = name;
    this.#readHistory();
    this.app.redraw();
  }

  async #act(name, act) {
    this.busy = name;
    this.answer = null;
    this.app.redraw();
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.answer = { text: error.message, isBad: true };
    } finally {
      this.busy = "";
      this.app.redraw();
    }
  }

  #check() {
    return this.#act("check", async () => {
      const { server, probe } = (await ask("POST", `${this.path}/check`)).body;
      this.app.fleet.refresh(server);
      const said = [reasonCause(probe.reason), probe.detail, probe.latency_ms === null ? "" : texts.milliseconds(probe.latency_ms)];
      this.answer = { text: `Checked now: ${said.filter(Boolean).join(" – ")}`, isBad: probe.reason !== "ok" };
    });
  }

  #discover() {
    return this.#act("discover", async () => {
      const { reason, detail, added, changed, removed, unchanged } = (await ask("POST", `${this.path}/discover`)).body;
      const isBad = reason !== "ok";
      const text = isBad ? `Not listed: ${reasonCause(reason)}. ${detail ?? ""}` : `Listed now: ${added.length} added, ${changed.length} changed, ${removed.length} removed, ${unchanged} as before.`;
      this.answer = { text, isBad };
    });
  }

  #switch(server) {
    return this.#act("switch", () => ask("PATCH", this.path, { body: { is_active: !server.is_active } }));
  }

  #switchModel(model) {
    const path = `${this.path}/models/${encodeURIComponent(model.model_name)}`;
    return this.#act("model", () => ask("PATCH", path, { body: { is_active: !model.is_active } }));
  }

  async #remove(server) {
    const isMeant = await this.app.confirm({
      title: html`Remove <bdi>${server.name}</bdi>?`,
      text: "Its models and its history go with it. Ollama itself is not touched. To keep it without asking it anything, deactivate it instead.",
      action: "Remove",
    });
    if (!isMeant) return;
    await this.#act("remove", async () => {
      await ask("DELETE", this.path);
      this.app.tell(html`<bdi>${server.name}</bdi> was removed.`);
      location.hash = "#/";
    });
  }
}

// What was wrong last, when, and for how long; the transitions are the newest first.
function lastTrouble(transitions, seen) {
  const place = transitions.findIndex(({ to }) => to !== "up");
  if (place < 0) return "none known";
  if (seen === "down" || seen === "degraded") return "now";
  const { at, reason } = transitions[place];
  const length = place ? `, for ${clock.span((Date.parse(transitions[place - 1].at) - Date.parse(at)) / 1000)}` : "";
  return html`${reasonCause(reason)} <small>${marks.ago(at)}${length}</small>`;
}

function transitionList(transitions) {
  const newest = [...transitions].sort((one, other) => other.seq - one.seq);
  return html`<ol class="transitions">${repeat(newest, ({ seq }) => seq, ({ at, to, reason, detail }) => html`<li>
    <time datetime=${at}>${clock.moment(at)}</time> ${marks.stateMark(to in { up: 1, degraded: 1, down: 1 } ? to : "unknown")}
    <span>${to === "up" ? nothing : reasonCause(reason)}${detail && to !== "up" ? html` <small><bdi>${detail}</bdi></small>` : nothing}</span></li>`)}</ol>`;
}

function settings(server) {
  const own = (value, unit) => (value === null || value === undefined ? "as in the settings" : `${value}${unit}`);
  const labels = Object.entries(server.labels ?? {});
  const rows = [
    ["Slots", server.max_concurrent],
    ["Priority", server.priority],
    ["Credential", server.auth?.configured ? `${server.auth.type}, stored` : "none"],
    ["Checked every", own(server.check_interval_seconds, " s")],
    ["Time-out", own(server.check_timeout_seconds, " s")],
    ["Good checks to come back", own(server.rise, "")],
    ["Bad checks to go down", own(server.fall, "")],
    ["For", server.capabilities?.length ? server.capabilities.join(", ") : "anything"],
    ["Site", server.site ? html`<bdi>${server.site}</bdi>` : "none"],
    ["Labels", labels.length ? labels.map(([key, value]) => html`<span class="tag"><bdi>${key}=${value}</bdi></span> `) : "none"],
  ];
  return html`<section aria-labelledby="settings"><h2 id="settings">Settings</h2>
    <dl class="facts">${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>`;
}

function gone() {
  return html`<h1 tabindex="-1">This server is not there</h1><p>It was removed, perhaps in another window. <a href="#/">All servers</a></p>`;
}
