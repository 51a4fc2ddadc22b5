// Which server a request for a model would get now, by which rule, and why each other one is passed over.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { get, Problem } from "../api.js";
import * as marks from "../marks.js";
import * as suggestions from "../suggestions.js";
import { catalogue } from "./catalogue.js";

// What can be asked beside the model; an empty field asks nothing.
const MORE = [
  ["candidates", "Candidates", "1", "So many servers, best first."],
  ["label", "Labels", "rack=7, owner=lab", "Only a server that has all of these."],
  ["site", "Site", "berlin", "Only a server that stands there."],
  ["session", "Session", "chat-42", "The same session keeps its server among equal ones."],
];

const NAMES = ["model", ...MORE.map(([name]) => name)];

export class Resolution {
  constructor(app) {
    this.app = app;
    this.title = "Which server?";
    this.asked = known(new URLSearchParams(location.hash.split("?")[1] ?? ""));
    this.typed = Object.fromEntries(NAMES.map((name) => [name, this.asked.getAll(name).join(", ")]));
    this.answer = null;
    this.problem = null;
  }

  enter() {
    if (this.asked.toString()) this.#ask(this.asked);
  }

  async #ask(asked) {
    this.asked = asked;
    // So that the question can be kept and passed on, and a link to another one is another place.
    history.replaceState(null, "", `#/resolve?${asked}`);
    Object.assign(this, { answer: null, problem: null });
    try {
      const answer = await get(`/api/resolve?${new URLSearchParams([...asked, ["explain", "true"]])}`);
      if (asked === this.asked) this.answer = answer;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (asked === this.asked) this.problem = error;
    }
    this.app.redraw();
  }

  view() {
    const submit = (event) => {
      event.preventDefault();
      this.#ask(question(this.typed));
    };
    return html`<h1 tabindex="-1">Which server for this model?</h1>
      <form class="question" @submit=${submit}><div class="filters">
        <label for="model" class="heard">Model</label>
        <input id="model" name="model" type="text" list="known-models" placeholder="llama3.2:3b" .value=${live(this.typed.model)} autocomplete="off" spellcheck="false" dir="auto"
          @input=${(event) => this.#type("model", event)}>
        ${suggestions.list("known-models", catalogue(this.app.fleet), this.typed.model)}
        <button type="submit">Ask</button></div>
        <p class="hint">Left empty: the server for a request that names no model.</p>
        <details ?open=${MORE.some(([name]) => this.asked.has(name))}><summary>Narrow it down, or ask for more than one</summary>
          <div class="columns">${MORE.map((field) => this.#field(...field))}</div></details>
      </form>
      <div role="status">${this.#outcome()}</div>`;
  }

  #type(name, { target }) {
    this.typed[name] = target.value;
    this.app.redraw();
  }

  #field(name, label, placeholder, hint) {
    const wrong = this.problem?.errors?.find(({ field }) => field.split(".")[0] === name)?.message;
    return html`<div class="field"><label for=${name}>${label}</label>
      <input id=${name} name=${name} type="text" .value=${live(this.typed[name])} @input=${(event) => this.#type(name, event)} placeholder=${placeholder} autocomplete="off" spellcheck="false" dir="auto"
        inputmode=${name === "candidates" ? "numeric" : nothing} aria-invalid=${wrong ? "true" : nothing} aria-describedby="${name}-hint">
      <small id="${name}-hint" class=${wrong ? "error" : "hint"}>${wrong ?? hint}</small></div>`;
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
      ${answer.suspect ? html`<p class="note bad">It is suspect: bad answers have been seen, and there is no verdict yet.</p>` : nothing}
      <p>${answer.explanation?.sentence ?? `Rule ${answer.rule}.`}${answer.loaded ? " The model is in memory there." : ""}</p>
      ${answer.snapshot?.stale ? html`<p class="note bad">The event log cannot be read, so what changed meanwhile is not known.</p>` : nothing}
    </section>${this.#candidates(answer.candidates ?? [])}${this.#others(answer)}`;
  }

  #candidates(next) {
    return next.length ? html`<h2>Next best</h2><ol class="passed" aria-label="Next best">${next.map(({ server, base_url: url, suspect }) => html`<li>
        <span class="place">${server ? marks.serverLink(server) : url} ${suspect ? html`<span class="tag warn">suspect</span>` : nothing}</span> <span class="url" dir="ltr">${url}</span></li>`)}</ol>` : nothing;
  }

  #others(told) {
    const { passed_over: passed = told.servers ?? [], more = told.more ?? 0 } = told.explanation ?? {};
    const near = told.nearest?.length ? html`<p>Near it: ${told.nearest.map((name) => html`<a href="#/resolve?model=${encodeURIComponent(name)}"><bdi>${name}</bdi></a> `)}</p>` : nothing;
    if (!passed.length) return near;
    const reasons = new Map();
    for (const server of passed) reasons.set(server.reason, [...(reasons.get(server.reason) ?? []), server]);
    return html`${near}<h2>Passed over</h2><ul class="passed">${[...reasons].map(([reason, servers]) => html`<li><span>${reason} <span class="tag" title="The step of the choice at which it lost">step: ${servers[0].step.replaceAll("_", " ")}</span></span>
        <span>${servers.map((server) => html`<span class="place">${marks.serverLink(server)}</span> `)}</span></li>`)}</ul>
      ${more ? html`<p class="hint">and ${more} more</p>` : nothing}`;
  }
}

// The parameters of the API; labels are separate ones there.
function question(typed) {
  return known(Object.entries(typed).flatMap(([name, value]) => (name === "label" ? value.split(",") : [value]).map((part) => [name, part.trim()])));
}

function known(given) {
  return new URLSearchParams([...given].filter(([name, value]) => NAMES.includes(name) && value));
}
