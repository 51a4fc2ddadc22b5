// What is around every page: where to go, whether what is seen is live, and what is wrong with the watching itself.

import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { access, wantToken } from "./api.js";
import * as clock from "./clock.js";
import { prose } from "./marks.js";
import { silence } from "./verdicts.js";

const PLACES = [
  ["#/", "Overview"],
  ["#/models", "Models"],
  ["#/resolve", "Which server?"],
  ["#/events", "Events"],
];
const LIVE = {
  connecting: ["◌", "Connecting"],
  live: ["●", "Live"],
  waiting: ["◌", "Reconnecting"],
  offline: ["✕", "Offline"],
  refused: ["✕", "No access"],
};
// In the words of whoever has installed it.
const START =
  "Start `ollama-fleet up`, or `ollama-fleet monitor` where the API runs apart; as a service of systemd: `systemctl status ollama-fleet-monitor` says what is with it.";

export function frame({ place, feed, isPast, banners, notice, said, main, onDismiss }) {
  const [sign, word] = LIVE[feed.state];
  return html`<a class="skip" href="#main" @click=${skip}>Skip to the content</a>
    <header>
      <a class="brand" href="#/" aria-label="ollama-fleet, overview">ollama-fleet</a>
      <nav aria-label="Pages">
        ${PLACES.map(([href, name]) => html`<a href=${href} aria-current=${isHere(href, place) ? "page" : nothing}>${name}</a>`)}
      </nav>
      <span class="live ${feed.state}" title="Changes arrive by the event stream"><span aria-hidden="true">${sign}</span> ${word}</span>
      ${access.token || feed.state === "refused" ? html`<button type="button" class="plain" @click=${() => wantToken(feed.problem ?? { message: "With another token, for example one that may write:" })}>Token</button>` : nothing}
      <a class="add" href="#/servers/new">Add a server</a>
    </header>
    <div class="banners" role="status">
      ${banners.map(({ text, next }) => html`<p class="banner"><strong>${prose(text)}</strong> ${prose(next)}</p>`)}
    </div>
    <main id="main" tabindex="-1" class=${isPast ? "past" : ""}>${main}</main>
    <div class="notice" role="status">
      ${notice ? html`<p class=${notice.isBad ? "bad" : ""}>${notice.text} <button type="button" class="plain" aria-label="Dismiss" @click=${onDismiss}>✕</button></p>` : nothing}
    </div>
    <div class="heard" role="status" aria-live="polite">${said}</div>`;
}

function isHere(href, place) {
  return href === "#/" ? place === "#/" : place.startsWith(href);
}

// The hash is the route, so the link may not change it.
function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

// What stands between the truth and what the page shows, the worst of it.
export function banners(feed, freshness) {
  const seen = `What you see is as of ${clock.timeOfDay(feed.heardAt)}.`;
  if (feed.state === "offline") return [{ text: "This browser is offline.", next: `${seen} The page goes on by itself when the network is back.` }];
  if (feed.state === "refused") return [{ text: "No access.", next: `${feed.problem?.message ?? ""} ${seen} To go on, press Token above.` }];
  if (feed.state === "waiting" || (feed.state === "connecting" && freshness.isAway)) {
    const why = feed.problem?.message ?? "The connection to the API ended.";
    return [{ text: why, next: `${seen} Trying again …` }];
  }
  const { checks, reasons, ready, isolation } = freshness.readiness ?? { ready: true, reasons: [] };
  if (!ready) return [{ text: "The API cannot reach its database.", next: `${reasons.join(" ")} What you see is of the past.` }];
  if (checks?.monitor === "absent") {
    return [{ text: "No monitor is at work, so nothing is checked.", next: `Every state below is of the past. ${START}` }];
  }
  return isolation ? [isolated(isolation)] : [];
}

function isolated(isolation) {
  const { text, next } = silence(isolation);
  const until = Date.parse(isolation.until);
  if (until <= clock.now()) return { text: `${text}.`, next: `Verdicts are held no more, but the monitor still has this trouble. ${next}` };
  return { text: `${text}.`, next: `Verdicts are held${until ? ` until ${clock.timeOfDay(until)}` : ""}. ${next}` };
}
