// The fields of a server's form: how they are shown, and what they make together.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";

export const ADVANCED = ["api", "api_version", "check_interval_seconds", "check_timeout_seconds", "rise", "fall", "connection_watch"];
const API = { auto: "Find out", native: "Ollama's own", openai: "OpenAI-style only" };
const NUMBERS = ["check_interval_seconds", "check_timeout_seconds", "rise", "fall"];
const AUTH = {
  none: ["No credential", []],
  basic: ["User name and password", [["username", "User name", "text"], ["password", "Password", "password"]]],
  bearer: ["Bearer token", [["token", "Token", "password"]]],
  api_key: ["API key in a header", [["key", "Key", "password"], ["header", "Header (X-API-Key if left empty)", "text"]]],
};

function field(form, name, { label, hint, type = "text", value = form.read?.[name] ?? "", ...rest }) {
  const error = form.errorOf(name);
  const described = [error ? `${name}-error` : "", hint ? `${name}-hint` : ""].filter(Boolean).join(" ");
  return html`<div class="field"><label for=${name}>${label}</label>
    <input id=${name} name=${name} type=${type} .defaultValue=${String(value)} ?required=${rest.required} inputmode=${rest.inputmode ?? nothing} autocomplete="off" spellcheck="false"
      dir=${type === "password" ? nothing : "auto"} placeholder=${rest.placeholder ?? nothing} aria-invalid=${error ? "true" : nothing} aria-describedby=${described || nothing}>
    ${error ? html`<small class="error" id="${name}-error">${error}</small>` : nothing}${hint ? html`<small class="hint" id="${name}-hint">${hint}</small>` : nothing}</div>`;
}

function box(form, name, label, otherwise) {
  return html`<label class="box"><input type="checkbox" name=${name} .defaultChecked=${form.read?.[name] ?? otherwise}> ${label}</label>`;
}

export function main(form) {
  const labels = Object.entries(form.read?.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(", ");
  return html`<div class="columns">
    ${field(form, "name", { label: "Name", required: true, placeholder: "gpu-1" })}
    ${field(form, "url", { label: "URL", required: true, placeholder: "http://10.0.0.5:11434", inputmode: "url", hint: "Where Ollama answers. /v1, /api or a route such as /api/generate at the end is dropped." })}
    ${field(form, "max_concurrent", { label: "Slots", value: form.read?.max_concurrent ?? 1, inputmode: "numeric", hint: "Most requests at once." })}
    ${field(form, "priority", { label: "Priority", value: form.read?.priority ?? 0, inputmode: "numeric", hint: "Higher is preferred." })}
    ${field(form, "capabilities", { label: "For", value: (form.read?.capabilities ?? []).join(", "), placeholder: "chat, embedding", hint: "What it is meant for, with commas between." })}
    ${field(form, "labels", { label: "Labels", value: labels, placeholder: "rack=7, owner=lab", hint: "key=value, with commas between." })}
    ${field(form, "site", { label: "Site", placeholder: "berlin", hint: "Where the server stands." })}
  </div>
  <div class="boxes">${box(form, "is_active", "Active: checked, and gets requests", true)}${box(form, "is_default", "The default server", false)}</div>`;
}

export function credential(form) {
  const stored = form.read?.auth?.configured;
  const [, parts] = AUTH[form.authType] ?? [null, []];
  const error = parts.length ? "" : form.errorOf("auth");
  return html`<fieldset><legend>Credential</legend>
    <label for="auth-type">Kind</label>
    <select id="auth-type" name="auth-type" .value=${live(form.authType)} @change=${(event) => form.chooseAuth(event.target.value)} aria-invalid=${error ? "true" : nothing}>
      ${stored ? html`<option value="keep">Keep the stored one (${form.read.auth.type})</option>` : nothing}
      ${Object.entries(AUTH).map(([type, [word]]) => html`<option value=${type}>${word}</option>`)}
    </select>
    ${error ? html`<small class="error">${error}</small>` : nothing}
    ${parts.length && form.errorOf("auth") ? html`<small class="error">${form.errorOf("auth")}</small>` : nothing}
    <div class="columns">${parts.map(([name, label, type]) => field(form, `auth.${name}`, { label, type, value: "" }))}</div>
    ${stored ? html`<small class="hint">A stored secret is never shown again. With another host in the URL it is dropped, so that it goes to nobody else: give it again.</small>` : nothing}
  </fieldset>`;
}

export function advanced(form) {
  const own = "Empty: as in the settings.";
  return html`<div class="columns">
    ${field(form, "check_interval_seconds", { label: "Seconds between two checks", inputmode: "decimal", hint: own })}
    ${field(form, "check_timeout_seconds", { label: "Seconds to wait for an answer", inputmode: "decimal", hint: own })}
    ${field(form, "rise", { label: "Good checks to come back", inputmode: "numeric", hint: own })}
    ${field(form, "fall", { label: "Bad checks to go down", inputmode: "numeric", hint: own })}
    <div class="field"><label for="api">API</label><select id="api" name="api">
      ${Object.entries(API).map(([name, word]) => html`<option value=${name} ?selected=${name === chosenApi(form.read)}>${word}</option>`)}
    </select><small class="hint">What the server is asked on.</small></div>
    ${field(form, "api_version", { label: "API version", value: form.read?.api_version ?? "v1", hint: "Of a server that speaks only an OpenAI-style API." })}
  </div>
  <div class="boxes">${box(form, "connection_watch", "Hold one idle connection, to see a crash at once", true)}</div>`;
}

// What was chosen for a server, as it is written; it is read as what the server speaks, and whether that was chosen.
export function chosenApi(read) {
  return read?.api_pinned ? read.api : "auto";
}

// The whole server as the form has it. What is no number is sent as it is, for the API to say so.
export function values(data, form) {
  const text = (name) => data.get(name).trim();
  const number = (name) => (text(name) === "" ? null : Number.isNaN(Number(text(name))) ? text(name) : Number(text(name)));
  const made = {
    name: text("name"),
    url: text("url"),
    api: data.get("api"),
    api_version: text("api_version") || "v1",
    max_concurrent: number("max_concurrent") ?? 1,
    priority: number("priority") ?? 0,
    capabilities: list(text("capabilities")),
    labels: Object.fromEntries(list(text("labels")).map(pair)),
    site: text("site") || null,
  };
  for (const name of NUMBERS) made[name] = number(name);
  for (const name of ["is_active", "is_default", "connection_watch"]) made[name] = data.has(name);
  if (form.authType !== "keep" && !(form.authType === "none" && !form.read?.auth?.configured)) made.auth = auth(data, form.authType);
  return made;
}

function auth(data, type) {
  const given = AUTH[type][1].map(([name]) => [name, data.get(`auth.${name}`)]).filter(([name, value]) => value || name !== "header");
  return { type, ...Object.fromEntries(given) };
}

// A merge patch: only what differs. A label that is not there any more is null.
export function changes(read, after) {
  const before = { ...read, api: chosenApi(read) };
  const patch = Object.entries(after).filter(([name, value]) => name === "auth" || JSON.stringify(value) !== JSON.stringify(before[name]));
  const made = Object.fromEntries(patch);
  if (made.labels) {
    const gone = Object.keys(before.labels).filter((key) => !(key in after.labels));
    made.labels = { ...made.labels, ...Object.fromEntries(gone.map((key) => [key, null])) };
  }
  return made;
}

function list(text) {
  return text.split(",").map((part) => part.trim()).filter(Boolean);
}

function pair(text) {
  const place = text.indexOf("=");
  return place < 0 ? [text, ""] : [text.slice(0, place).trim(), text.slice(place + 1).trim()];
}
