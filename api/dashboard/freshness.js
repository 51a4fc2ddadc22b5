// What makes no event is asked for now and then: whether the API can work, last checks, latencies, histories.

import { get, Problem } from "./api.js";

const READY_MS = 10_000;
const SERVERS_MS = 30_000;
const HISTORY_MS = 300_000;
// A list of ten thousand servers is some megabytes: its figures may be older.
const MS_PER_SERVER = 15;

export class Freshness {
  // `onChange` is called when there is something new to see.
  constructor(fleet, onChange) {
    this.fleet = fleet;
    this.onChange = onChange;
    // The answer of /readyz; null as long as there is none.
    this.readiness = null;
    this.isAway = false;
    this.hasHistory = true;
    // A snapshot that has just come is as fresh.
    this.askedServersAt = Date.now();
  }

  run() {
    this.#repeat(() => this.#askReadiness(), () => READY_MS);
    this.#repeat(() => this.#askServers(), () => Math.max(SERVERS_MS, this.fleet.servers.size * MS_PER_SERVER), SERVERS_MS);
    this.#repeat(() => this.#askHistory(), () => HISTORY_MS, HISTORY_MS);
  }

  // Ask for everything now, as after a pause.
  hurry() {
    this.#askReadiness().catch(() => {});
    if (!this.fleet.isComplete) return;
    if (this.askedServersAt + SERVERS_MS < Date.now()) this.#askServers().catch(() => {});
    if (!this.fleet.history.size) this.#askHistory().catch(() => {});
  }

  async #repeat(question, pause, first = 0) {
    await new Promise((resolve) => setTimeout(resolve, first));
    for (;;) {
      if (!document.hidden) await question().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, pause()));
    }
  }

  async #askReadiness() {
    let readiness = null;
    try {
      const response = await fetch("/readyz", { cache: "no-store", credentials: "omit", redirect: "error" });
      readiness = await response.json();
    } catch {
      // Not answered at all; the stream tells of it, too.
    }
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

  async #askHistory() {
    if (!this.hasHistory) return;
    try {
      const { items } = await get("/api/history?window=24h");
      this.fleet.history = new Map(Object.entries(items));
      this.onChange();
    } catch (error) {
      if (error instanceof Problem && error.status === 404) this.hasHistory = false;
    }
  }
}
