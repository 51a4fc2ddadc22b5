// Which server a request for a model would get now, by which rule, and why each other one is passed over.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { get, Problem } from "../api.js";
import * as marks from "../marks.js";
import * as suggestions from "../suggestions.js";
import { catalogue } from "./catalogue.js";

export class Resolution {
  constructor(app) {
    this.app = app;
    this.title = "Which server?";
    this.asked = new URLSearchParams(location.hash.split("?")[1] ?? "").get("model") ?? "";
    this.typed = this.asked;
    this.answer = null;
    this.problem = null;
  }

  enter() {
    if (this.asked) this.#ask(this.asked);
  }

  async #ask(model) {
    this.asked = model;
    // So that the question can be kept and passed on, and a link to another one is another place.
    history.replaceState(null, "", `#/resolve?model=${encodeURIComponent(model)}`);
    Object.assign(this, { answer: null, problem: null });
    try {
      const query = new URLSearchParams(model ? { model, explain: "true" } : { explain: "true" });
      const answer = await get(`/api/resolve?${query}`);
      if (model === this.asked) this.answer = answer;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (model === this.asked) this.problem = error;
    }
    this.app.redraw();
  }

  view() {
    const submit = (event) => {
      event.preventDefault();
      this.#ask(new FormData(event.target).get("model").trim());
    };
    return html`<h1 tabindex="-1">Which server for this model?</h1>
      <form class="filters" @submit=${submit}>
        <label for="model" class="heard">Model</label>
        <input id="model" name="model" type="text" list="known-models" placeholder="llama3.2:3b" .value=${live(this.typed)} autocomplete="off" spellcheck="false" dir="auto"
          @input=${(event) => {
            this.typed = event.target.value;
            this.app.redraw();
          }}>
        ${suggestions.list("known-models", catalogue(this.app.fleet), this.typed)}
        <button type="submit">Ask</button>
      </form>
      <p class="hint">Left empty: the server for a request that names no model.</p>
      <div role="status">${this.#outcome()}</div>`;
  }

  #outcome() {
    const { answer, problem } = this;
    if (problem?.code === "not_found") return html`<p class="note">This version of the API does not answer that question.</p>`;
    if (problem) return html`<p class="note bad">${problem.message}</p>${this.#others(problem.members)}`;
    if (!answer) return nothing;
    const known = this.app.fleet.servers.get(answer.server?.id);
    return html`<section class="verdict ${answer.available ? "up" : "down"}" aria-label="The answer">
      <p class="sentence">${known ? html`<strong>${marks.serverLink(known)}</strong> ${marks.serverMarks(known, this.app.isPast)}` : html`<strong><bdi>${answer.server?.name ?? answer.base_url}</bdi></strong>`}</p>
      <p class="url" dir="ltr">${answer.base_url}</p>
      <p>${answer.explanation?.sentence ?? `Rule ${answer.rule}.`}${answer.loaded ? " The model is in memory there." : ""}</p>
      ${answer.snapshot?.stale ? html`<p class="note bad">The event log cannot be read, so what changed meanwhile is not known.</p>` : nothing}
    </section>${this.#others(answer)}`;
  }

  #others(told) {
    const { passed_over: passed = told.servers ?? [], more = told.more ?? 0 } = told.explanation ?? {};
    const near = told.nearest?.length ? html`<p>Near it: ${told.nearest.map((name) => html`<a href="#/resolve?model=${encodeURIComponent(name)}"><bdi>${name}</bdi></a> `)}</p>` : nothing;
    if (!passed.length) return near;
    const reasons = new Map();
    for (const server of passed) reasons.set(server.reason, [...(reasons.get(server.reason) ?? []), server]);
    return html`${near}<h2>Passed over</h2><ul class="passed">${[...reasons].map(([reason, servers]) => html`<li><span>${reason}</span>
        <span>${servers.map((server) => html`<span class="place">${marks.serverLink(server)}</span> `)}</span></li>`)}</ul>
      ${more ? html`<p class="hint">and ${more} more</p>` : nothing}`;
  }
}
