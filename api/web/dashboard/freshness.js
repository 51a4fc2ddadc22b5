// What makes no event is asked for now and then: whether the API can work, last checks, latencies, histories.

import { access, get } from "./api.js";
import * as clock from "./clock.js";

const READY_MS = 10_000;
const SERVERS_MS = 30_000;
const HISTORY_MS = 300_000;
// What was known for so short a time soon looks different, and so does what has fallen since.
const YOUNG_SECONDS = 600;
const CHANGING_MS = 30_000;
const DAY_SECONDS = 86_400;
// Of a bigger fleet the history is only asked for where it is on the screen.
const MOST_HISTORIES = 1_000;
// A list of ten thousand servers is some megabytes: its figures may be older.
const MS_PER_SERVER = 15;

export class Freshness {
  // `onChange` is called when there is something new to see.
  constructor(fleet, feed, onChange) {
    this.fleet = fleet;
    this.feed = feed;
    this.onChange = onChange;
    // The answer of /readyz; null as long as there is none.
    this.readiness = null;
    this.isAway = false;
    this.questions = 0;
    // The servers that are on the screen.
    this.shown = [];
    this.isSettled = false;
    this.isAskingHistory = false;
    // A snapshot that has just come is as fresh.
    this.askedServersAt = Date.now();
  }

  run() {
    this.#repeat(() => this.#askReadiness(), () => READY_MS);
    this.#repeat(() => this.#isHeard && this.#askServers(), () => Math.max(SERVERS_MS, this.fleet.servers.size * MS_PER_SERVER), SERVERS_MS);
    this.#repeat(() => this.#isHeard && this.#renewHistory(), () => HISTORY_MS, HISTORY_MS);
  }

  // Ask for everything now, as after a pause.
  hurry() {
    this.#askReadiness().catch(() => {});
    if (!this.#isHeard) return;
    if (this.askedServersAt + SERVERS_MS < Date.now()) this.#askServers().catch(() => {});
    this.isSettled = true;
    if (!this.fleet.history.size) this.#renewHistory().catch(() => {});
  }

  // The monitor tells something of itself: ask how it is now.
  monitorTells() {
    this.#askReadiness().catch(() => {});
  }

  // Take which servers are on the screen; the history of those that have none yet, or one that changes, is asked for.
  show(ids) {
    this.shown = ids;
    if (!this.isSettled || !this.#isHeard) return;
    const missing = ids.filter((id) => this.#isHistoryWanted(id));
    if (missing.length) this.#askHistory(missing).catch(() => {});
  }

  #isHistoryWanted(id) {
    const strip = this.fleet.history.get(id);
    if (!strip) return true;
    const isYoung = DAY_SECONDS - strip.unknown_seconds < YOUNG_SECONDS;
    const isPast = Date.parse(this.fleet.servers.get(id)?.status_changed_at) > strip.readAt;
    return (isYoung || isPast) && strip.readAt + CHANGING_MS < clock.now();
  }

  // The stream is the one to find out that nobody answers, or that a token is needed.
  get #isHeard() {
    return this.feed.state === "live";
  }

  async #repeat(question, pause, first = 0) {
    await new Promise((resolve) => setTimeout(resolve, first));
    for (;;) {
      try {
        if (!document.hidden) await question();
      } catch {
        // The next time.
      }
      await new Promise((resolve) => setTimeout(resolve, pause()));
    }
  }

  async #askReadiness() {
    let readiness = null;
    const question = (this.questions += 1);
    try {
      // With a token it says more; 503 is an answer, too.
      const headers = access.token ? { Authorization: `Bearer ${access.token}` } : {};
      const response = await fetch("/readyz", { headers, cache: "no-store", credentials: "omit", redirect: "error" });
      readiness = await response.json();
    } catch {
      // Not answered at all; the stream tells of it, too.
    }
    // Asked again meanwhile, so that this answer may be of before.
    if (question !== this.questions) return;
    if (JSON.stringify(readiness) === JSON.stringify(this.readiness) && this.isAway === (readiness === null)) return;
    this.readiness = readiness;
    this.isAway = readiness === null;
    this.onChange();
  }

  async #askServers() {
    this.askedServersAt = Date.now();
    let cursor = null;
    do {
      const page = await get(`/api/servers?limit=1000${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
      for (const server of page.items) this.fleet.refresh(server);
      cursor = page.next_cursor;
      this.onChange();
    } while (cursor);
  }

  async #renewHistory() {
    if (this.fleet.servers.size <= MOST_HISTORIES) await this.#askHistory([]);
    else if (this.shown.length) await this.#askHistory(this.shown);
  }

  // Of all servers, if none are named.
  async #askHistory(ids) {
    if (this.isAskingHistory) return;
    this.isAskingHistory = true;
    try {
      const query = new URLSearchParams([["window", "24h"], ...ids.map((id) => ["server_id", id])]);
      const { items } = await get(`/api/history?${query}`);
      const read = Object.entries(items).map(([id, strip]) => [id, { ...strip, readAt: clock.now() }]);
      this.fleet.history = new Map([...this.fleet.history, ...read]);
      this.onChange();
    } finally {
      this.isAskingHistory = false;
    }
  }
}
