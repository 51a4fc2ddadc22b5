// Which model is where: folded from what every server lists, and live like it.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import * as marks from "../marks.js";
import * as texts from "../texts.js";
import { state } from "../verdicts.js";

const SHOWN = 200;
const SHOWN_SERVERS = 12;

// What was folded of a fleet last: folding ten thousand servers is not for every frame.
const folded = new WeakMap();

// Models by name, as Ollama compares names; each with the servers that list it.
export function catalogue(fleet) {
  const known = folded.get(fleet);
  if (known?.version === fleet.version) return known.models;
  const models = fold(fleet);
  folded.set(fleet, { version: fleet.version, models });
  return models;
}

function fold(fleet) {
  const found = new Map();
  for (const [serverId, models] of fleet.modelsOf) {
    const server = fleet.servers.get(serverId);
    if (!server) continue;
    for (const model of models.values()) {
      const key = model.model_name.toLowerCase();
      if (!found.has(key)) found.set(key, { name: model.model_name, places: [] });
      found.get(key).places.push({ server, model });
    }
  }
  return [...found.values()].sort((one, other) => texts.byName(one.name, other.name));
}

export class Catalogue {
  constructor(app) {
    this.app = app;
    this.title = "Models";
    this.text = "";
    this.shown = SHOWN;
  }

  view() {
    const all = catalogue(this.app.fleet);
    const sought = texts.folded(this.text);
    const found = all.filter(({ name }) => texts.folded(name).includes(sought));
    const shown = found.slice(0, this.shown);
    return html`<h1 tabindex="-1">${texts.count(all.length, "model")}</h1>
      <div class="filters"><input type="search" aria-label="Find a model by name" placeholder="Find a model by name" .value=${live(this.text)}
        @input=${(event) => {
          this.text = event.target.value;
          this.app.redraw();
        }}></div>
      ${found.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Models"><table class="cards" role="table">
        <thead role="rowgroup"><tr role="row">${["Model", "Servers", "In memory", "Size"].map((head) => html`<th role="columnheader" scope="col">${head}</th>`)}<td role="cell"></td></tr></thead>
        <tbody role="rowgroup">${repeat(shown, ({ name }) => name, row)}</tbody></table></div>`
        : html`<p class="nothing">${all.length ? "No model is called like that." : "No server lists a model yet."}</p>`}
      ${found.length > shown.length ? html`<p class="pager"><button type="button" class="secondary" @click=${() => {
          this.shown += SHOWN;
          this.app.redraw();
        }}>Show more of ${found.length.toLocaleString("en")}</button></p>` : nothing}`;
  }
}

function row({ name, places }) {
  const sorted = [...places].sort((one, other) => texts.byName(one.server.name, other.server.name));
  const digests = new Set(places.map(({ model }) => model.digest).filter(Boolean));
  const loaded = sorted.filter(({ model }) => marks.isLoaded(model));
  const isCloud = places.every(({ model }) => model.remote_host);
  const sizes = places.map(({ model }) => model.size_bytes ?? 0);
  return html`<tr role="row">
    <th role="rowheader" scope="row"><bdi>${name}</bdi> ${isCloud ? html`<span class="tag">cloud</span>` : nothing}${digests.size > 1
      ? html`<span class="tag warn" title="The same name stands for ${digests.size} different contents: pull it again where it is old">${digests.size} different digests</span>` : nothing}</th>
    <td role="cell" data-label="Servers">${list(sorted, place)}</td>
    <td role="cell" data-label="In memory">${loaded.length ? list(loaded, ({ server, model }) => html`<span class="place">${marks.serverLink(server)} <small>${texts.bytes(model.size_vram)}${marks.cpuShare(model) ? html` <span class="cpu">◧ partly on CPU</span>` : nothing}</small></span> `) : "–"}</td>
    <td role="cell" data-label="Size" class="number">${texts.bytes(Math.max(...sizes)) || "–"}</td>
    <td role="cell"><a href="#/resolve?model=${encodeURIComponent(name)}" aria-label="Which server for ${name}?">Which server?</a></td>
  </tr>`;
}

function list(places, show) {
  const more = places.length - SHOWN_SERVERS;
  return html`${places.slice(0, SHOWN_SERVERS).map(show)}${more > 0 ? html`<small>and ${more} more</small>` : nothing}`;
}

function place({ server, model }) {
  const seen = state(server);
  return html`<span class="place ${seen} ${model.is_active ? "" : "disabled"}"><svg class="mark" aria-hidden="true"><use href="#mark-${seen}"></use></svg><span class="heard">${seen} </span>${marks.serverLink(server)}${marks.suspectTag(server)}</span> `;
}
