// The page itself: what it knows, which part of it is shown, and when it is drawn.

import { html, render } from "./vendor/lit-html/lit-html.js";
import { access } from "./api.js";
import * as dialogs from "./dialogs.js";
import { Feed } from "./feed.js";
import { Fleet } from "./fleet.js";
import { Freshness } from "./freshness.js";
import * as page from "./page.js";
import { Overview } from "./pages/overview.js";
import { reasonCause } from "./verdicts.js";

// Times in words grow old.
const TICK_MS = 5_000;
const NOTICE_MS = 8_000;
const SAY_AFTER_MS = 800;
const COMPLETE_AFTER_MS = 400;
// A fleet that is still coming in is drawn now and then: to draw every part of it would only hold it up.
const LOADING_MS = 500;
const STATUS_WORDS = { "server.up": "is up", "server.degraded": "is degraded", "server.down": "is down", "server.suspected": "is suspect", "server.cleared": "is not suspect any more" };
const GOOD = new Set(["server.up", "server.cleared"]);

// Pages other than the first are loaded when they are asked for.
const ROUTES = [
  [/^#\/servers\/new$/, () => import("./pages/server_form.js").then(({ ServerForm }) => (app) => new ServerForm(app, null))],
  [/^#\/servers\/([^/]+)\/edit$/, () => import("./pages/server_form.js").then(({ ServerForm }) => (app, id) => new ServerForm(app, id))],
  [/^#\/servers\/([^/]+)$/, () => import("./pages/server.js").then(({ ServerPage }) => (app, id) => new ServerPage(app, id))],
  [/^#\/models/, () => import("./pages/catalogue.js").then(({ Catalogue }) => (app) => new Catalogue(app))],
  [/^#\/resolve/, () => import("./pages/resolution.js").then(({ Resolution }) => (app) => new Resolution(app))],
  [/^#\/events/, () => import("./pages/event_log.js").then(({ EventLog }) => (app) => new EventLog(app))],
];

class App {
  constructor(root) {
    this.root = root;
    this.fleet = new Fleet();
    this.feed = new Feed({ onMessage: (name, data) => this.#hear(name, data), onState: () => this.#feedChanged() });
    this.freshness = new Freshness(this.fleet, this.feed, () => this.redraw());
    this.overview = new Overview(this);
    this.page = this.overview;
    this.place = "#/";
    this.tick = 0;
    this.notice = null;
    this.said = "";
    this.unsaid = [];
    this.isDue = false;
    // When servers were drawn last.
    this.drawnAt = -Infinity;
    // After a move the focus goes to the new page's heading, once it stands.
    this.isMoving = false;
    this.confirm = (asked) => dialogs.confirm(asked, () => this.redraw());
  }

  // Whether what happens is not heard, so that everything on the page is of the past.
  get isPast() {
    const { feed, freshness } = this;
    return ["offline", "refused", "waiting"].includes(feed.state) || freshness.readiness?.ready === false;
  }

  start() {
    access.onWanted = () => this.redraw();
    addEventListener("hashchange", () => this.#go(true));
    document.addEventListener("visibilitychange", () => document.hidden || this.freshness.hurry());
    setInterval(() => this.#tick(), TICK_MS);
    this.#go(false);
    this.feed.run();
    this.freshness.run();
  }

  // Draw once in the next frame, however often this is called.
  redraw = () => {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.#draw();
    });
  };

  // Say how something went, for some seconds.
  tell(text, { isBad = false } = {}) {
    this.notice = { text, isBad };
    clearTimeout(this.noticeTimer);
    this.noticeTimer = setTimeout(() => this.#dismiss(), NOTICE_MS * (isBad ? 2 : 1));
    this.redraw();
  }

  #dismiss = () => {
    this.notice = null;
    this.redraw();
  };

  #tick() {
    if (document.hidden) return;
    this.tick += 1;
    this.redraw();
  }

  async #go(isMove) {
    const place = location.hash || "#/";
    this.place = place;
    const route = ROUTES.find(([pattern]) => pattern.test(place));
    let found = this.overview;
    if (route) {
      let make;
      try {
        make = await route[1]();
      } catch {
        return this.tell("That page could not be loaded: the API does not answer.", { isBad: true });
      }
      if (place !== (location.hash || "#/")) return;
      found = make(this, decodeURIComponent(route[0].exec(place)[1] ?? ""));
    }
    this.page.leave?.();
    this.page = found;
    this.page.enter?.();
    this.isMoving = isMove;
    this.#draw();
    if (isMove) scrollTo(0, 0);
  }

  #draw() {
    const { feed, freshness, notice, said, place, isPast } = this;
    // A name that is written from right to left keeps to itself there, too.
    document.title = `\u2068${this.page.title}\u2069 · ollama-fleet`;
    render(
      html`${page.frame({ place, feed, notice, said, isPast, banners: page.banners(feed, freshness), main: this.page.view(), onDismiss: this.#dismiss })}
      ${dialogs.dialogs({ onToken: (token) => this.#takeToken(token), isGood: feed.state === "live", hasFleet: this.fleet.isComplete, redraw: this.redraw })}`,
      this.root,
    );
    dialogs.openDialogs(this.root);
    this.page.drawn?.();
    if (this.fleet.servers.size) this.drawnAt = performance.now();
    if (this.isMoving) this.#arrive();
  }

  #arrive() {
    const heading = this.root.querySelector("main h1");
    const { activeElement: active } = document;
    // Somebody may have gone on already.
    if (!active?.closest("main") || active.id === "main") heading?.focus();
    this.isMoving = this.root.querySelector("main .starting") !== null;
  }

  #takeToken(token) {
    access.token = token;
    access.wanted = null;
    this.feed.retry();
    this.redraw();
  }

  #feedChanged() {
    if (this.feed.state === "live") setTimeout(() => this.#complete(), COMPLETE_AFTER_MS);
    this.redraw();
  }

  // What can wait until the servers are on the screen.
  #complete() {
    this.freshness.hurry();
    // So that the other pages are there when the API is not.
    for (const [, load] of ROUTES) load().catch(() => {});
  }

  #hear(name, data) {
    const event = this.fleet.take(name, data);
    if (event) {
      this.page.hear?.(event);
      if (event.type in STATUS_WORDS) this.#say(event);
      if (event.type.startsWith("monitor.")) this.freshness.monitorTells();
    }
    if (!this.fleet.draft || this.drawnAt + LOADING_MS < performance.now()) this.redraw();
  }

  // For those who hear the page: what changed, in one sentence for what came together.
  #say({ type, server_id: id, body }) {
    const name = this.fleet.servers.get(id)?.name ?? "A server";
    this.unsaid.push(`${name} ${STATUS_WORDS[type]}${GOOD.has(type) ? "" : `: ${reasonCause(body.reason ?? body.suspect_reason)}`}.`);
    if (this.unsaid.length > 1) return;
    setTimeout(() => {
      this.said = this.unsaid.length > 3 ? `${this.unsaid.length} servers changed their state.` : this.unsaid.join(" ");
      this.unsaid = [];
      this.redraw();
    }, SAY_AFTER_MS);
  }
}

const root = document.getElementById("app");
root.replaceChildren();
new App(root).start();
