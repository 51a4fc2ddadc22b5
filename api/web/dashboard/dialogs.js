// The two questions that stop everything else: a token for the API, and whether something really is meant.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { access } from "./api.js";

let question = null;

// Ask before something is done that cannot be undone; resolves to whether it is meant.
export function confirm({ title, text, action }, redraw) {
  return new Promise((resolve) => {
    question = { title, text, action, resolve };
    redraw();
  });
}

// `isGood`: the token there is still good, so that nobody has to give another one; `hasFleet`: there is something
// to see without one.
export function dialogs({ onToken, isGood, hasFleet, redraw }) {
  return html`${access.wanted ? tokenDialog({ onToken, isGood, hasFleet, redraw }) : nothing}${question ? confirmDialog(redraw) : nothing}`;
}

// `<dialog>` keeps the focus inside, and gives it back.
export function openDialogs(root) {
  for (const dialog of root.querySelectorAll("dialog:not([open])")) dialog.showModal();
}

function tokenDialog({ onToken, isGood, hasFleet, redraw }) {
  const canLeave = isGood || hasFleet;
  const leave = () => {
    access.wanted = null;
    redraw();
  };
  const given = (event) => {
    event.preventDefault();
    const token = new FormData(event.target).get("token").trim();
    if (token) onToken(token);
  };
  return html`<dialog aria-labelledby="token-title" @cancel=${(event) => (canLeave ? leave() : event.preventDefault())}>
    <form @submit=${given}>
      <h2 id="token-title">The API asks for a token</h2>
      <p>${access.token ? access.wanted.message : "Whoever runs the fleet makes one with this command:"}</p>
      <p><code>ollama-fleet token create NAME --scope write</code></p>
      <label>Token <input name="token" type="password" required autocomplete="off" spellcheck="false" autofocus></label>
      <p class="hint">It is kept in this tab only, and forgotten when the tab is closed.</p>
      <p class="actions">${canLeave ? html`<button type="button" class="secondary" @click=${leave}>${isGood ? "Keep the one there is" : "Not now"}</button>` : nothing}<button type="submit">Go on</button></p>
    </form>
  </dialog>`;
}

function confirmDialog(redraw) {
  const answer = (isMeant) => {
    const { resolve } = question;
    question = null;
    redraw();
    resolve(isMeant);
  };
  return html`<dialog aria-labelledby="confirm-title" @cancel=${() => answer(false)}>
    <h2 id="confirm-title">${question.title}</h2>
    <p>${question.text}</p>
    <p class="actions">
      <button type="button" class="secondary" autofocus @click=${() => answer(false)}>Keep it</button>
      <button type="button" class="danger" @click=${() => answer(true)}>${question.action}</button>
    </p>
  </dialog>`;
}
