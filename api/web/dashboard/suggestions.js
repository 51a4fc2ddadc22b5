// The names that a field offers while somebody types: only so many that a big fleet does not hold up the page.

import { html } from "./vendor/lit-html/lit-html.js";
import * as texts from "./texts.js";

const MOST = 50;

// `things` have a `name` each; those that have what is typed in it are offered.
export function list(id, things, typed) {
  const sought = texts.folded(typed);
  const found = [];
  for (const { name } of things) {
    if (found.length === MOST) break;
    if (texts.folded(name).includes(sought)) found.push(name);
  }
  return html`<datalist id=${id}>${found.map((name) => html`<option value=${name}></option>`)}</datalist>`;
}
