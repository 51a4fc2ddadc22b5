// Add a server or edit one, with what the API refuses shown at the field it is about.

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { ask, Problem } from "../api.js";
import * as fields from "./server_fields.js";

export class ServerForm {
  constructor(app, id) {
    this.app = app;
    this.id = id;
    this.title = id ? "Edit a server" : "Add a server";
    // As it was when it was read; what is sent is only what differs from it.
    this.read = null;
    this.etag = null;
    this.authType = "none";
    this.problem = null;
    this.isBusy = false;
    this.isFresh = false;
  }

  enter() {
    if (this.id) this.#load();
  }

  async #load() {
    try {
      const { body, etag } = await ask("GET", `/api/servers/${encodeURIComponent(this.id)}`);
      Object.assign(this, { read: body, etag, problem: null, authType: body.auth.configured ? "keep" : "none" });
    } catch (error) {
      this.problem = error;
    }
    this.app.redraw();
    // What was typed before gives way to what was read.
    this.isFresh = true;
  }

  drawn() {
    if (!this.isFresh) return;
    this.isFresh = false;
    document.querySelector(".server-form")?.reset();
  }

  // Removed while it was edited: in another tab, or by somebody else.
  get #isGone() {
    const { fleet } = this.app;
    return Boolean(this.read) && fleet.isComplete && !this.app.isPast && !fleet.servers.has(this.id);
  }

  view() {
    if (this.id && !this.read) return html`<h1 tabindex="-1">${this.title}</h1>${this.problem ? html`<p class="note bad" role="alert">${this.problem.message}</p>` : html`<p class="starting">Asking for the server …</p>`}`;
    const isGone = this.#isGone;
    const back = this.id && !isGone ? `#/servers/${this.id}` : "#/";
    return html`<h1 tabindex="-1">${this.id ? html`Edit <bdi>${this.read.name}</bdi>` : "Add a server"}</h1>
      <form class="server-form" novalidate @submit=${this.#submit} aria-busy=${this.isBusy ? "true" : "false"}>
        ${isGone ? html`<p class="note bad" role="alert"><bdi>${this.read.name}</bdi> was removed meanwhile, perhaps in another window, so there is nothing to save this to. It can be added again as it stands here, with its credential given anew.</p>` : this.#refusal()}
        ${fields.main(this)}
        ${fields.credential(this)}
        <details ?open=${this.#hasErrorIn(fields.ADVANCED)}><summary>When it is checked, and more</summary>${fields.advanced(this)}</details>
        <p class="actions"><button type="submit" ?disabled=${this.isBusy}>${isGone ? "Add it again" : this.id ? "Save" : "Add"}</button> <a class="button secondary" href=${back}>Cancel</a></p>
      </form>`;
  }

  // What the API says of one field, if it does.
  errorOf(name) {
    const found = this.problem?.errors?.find(({ field }) => field === name || field.startsWith(`${name}.`));
    if (found) return found.message;
    const taken = { name_taken: "name", url_taken: "url" }[this.problem?.code];
    return taken === name ? this.problem.message : "";
  }

  chooseAuth(type) {
    this.authType = type;
    this.app.redraw();
  }

  #hasErrorIn(names) {
    return names.some((name) => this.errorOf(name));
  }

  #refusal() {
    if (!this.problem) return nothing;
    const isChanged = this.problem.status === 412;
    return html`<p class="note bad" role="alert">${isChanged
      ? html`Somebody else has changed this server since you opened it, so nothing was saved. <button type="button" class="plain" @click=${() => this.#load()}>Load it as it is now</button>`
      : this.problem.errors?.length ? "Nothing was saved: see what is said at the fields." : this.problem.message}</p>`;
  }

  #submit = async (event) => {
    event.preventDefault();
    const values = fields.values(new FormData(event.target), this);
    this.isBusy = true;
    this.problem = null;
    this.app.redraw();
    try {
      const isEdit = this.id && !this.#isGone;
      const { body } = isEdit
        ? await ask("PATCH", `/api/servers/${encodeURIComponent(this.id)}`, { body: fields.changes(this.read, values), ifMatch: this.etag })
        : await ask("POST", "/api/servers", { body: values });
      this.app.tell(html`<bdi>${body.name}</bdi> ${isEdit ? "was saved." : "was added; it is being checked."}`);
      location.hash = `#/servers/${body.id}`;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.problem = error;
      // The first wrong field, once it is drawn.
      requestAnimationFrame(() => requestAnimationFrame(() => document.querySelector("[aria-invalid=true]")?.focus()));
    } finally {
      this.isBusy = false;
      this.app.redraw();
    }
  };
}
