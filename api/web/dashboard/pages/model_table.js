// The models of one server as a table.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import * as clock from "../clock.js";
import * as marks from "../marks.js";
import * as texts from "../texts.js";

export function modelTable(models, { onSwitch }) {
  const head = ["Model", "In memory", "Size", "Parameters", "Quantization", "Context", "Can do", ""];
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Models"><table class="cards" role="table">
    <thead role="rowgroup"><tr role="row">${head.map((name) => (name ? html`<th role="columnheader" scope="col">${name}</th>` : html`<td role="cell"></td>`))}</tr></thead>
    <tbody role="rowgroup">${repeat(models, (model) => model.id, (model) => row(model, onSwitch))}</tbody>
  </table></div>`;
}

function row(model, onSwitch) {
  return html`<tr role="row" class=${model.is_active ? "" : "disabled"}>
    <th role="rowheader" scope="row"><bdi>${model.model_name}</bdi>${model.name === model.model_name ? nothing : html` <small><bdi>${model.name}</bdi></small>`}
      ${model.remote_host ? html`<span class="tag" title="Runs at ${model.remote_host}">cloud</span>` : nothing}${model.is_active ? nothing : html`<span class="tag warn">switched off</span>`}</th>
    <td role="cell" data-label="In memory">${marks.isLoaded(model) ? residency(model) : "–"}</td>
    <td role="cell" data-label="Size" class="number">${texts.bytes(model.size_bytes) || "–"}</td>
    <td role="cell" data-label="Parameters">${model.parameter_size ?? "–"}</td>
    <td role="cell" data-label="Quantization">${model.quantization ?? "–"}</td>
    <td role="cell" data-label="Context" class="number">${model.context_length?.toLocaleString("en") ?? "–"}</td>
    <td role="cell" data-label="Can do">${(model.capabilities ?? []).join(", ") || "–"}</td>
    <td role="cell"><button type="button" class="secondary small" @click=${() => onSwitch(model)} aria-label="${model.is_active ? "Switch off" : "Switch on"} ${model.model_name}">${model.is_active ? "Switch off" : "Switch on"}</button></td>
  </tr>`;
}

function residency(model) {
  const share = marks.cpuShare(model);
  const until = model.expires_at ? `, until ${clock.moment(model.expires_at)}` : "";
  return html`<span class="loaded ${share ? "partly" : ""}" title="${texts.bytes(model.loaded_size_bytes)} in memory${until}">${texts.bytes(model.size_vram)} VRAM${share
    ? html` <small class="cpu">◧ ${Math.max(1, Math.round(share * 100))} % on CPU</small>` : nothing}</span>`;
}
