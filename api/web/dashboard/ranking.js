// Which servers are wanted, the worst first; worked out anew only when the fleet or the wish is another one.

import * as texts from "./texts.js";
import { compare, isSuspect, state, STATES } from "./verdicts.js";

const WORST_FIRST = compare(texts.byName);

export class Ranking {
  constructor(fleet) {
    this.fleet = fleet;
    // All servers in order, how many there are in each state, and those of them that are wanted.
    this.servers = [];
    this.counts = {};
    this.found = [];
    this.version = null;
    this.wish = {};
    this.words = new WeakMap();
  }

  // `wanted` is a state, "suspect", or null for all; `text` a part of a name, URL, label or model.
  take(wanted, text) {
    const isNews = this.version !== this.fleet.version;
    if (isNews) this.#sort();
    if (isNews || this.wish.wanted !== wanted || this.wish.text !== text) {
      this.wish = { wanted, text };
      const sought = texts.folded(text);
      this.found = this.servers.filter((server) => (!wanted || isLike(server, wanted)) && (!sought || this.#words(server).includes(sought)));
    }
    return this;
  }

  // Begins with the last order: what is nearly in order already is sorted in no time.
  #sort() {
    const { servers } = this.fleet;
    const before = this.servers.map(({ id }) => servers.get(id)).filter(Boolean);
    const known = new Set(before);
    const fresh = before.length < servers.size ? [...servers.values()].filter((server) => !known.has(server)) : [];
    this.servers = [...before, ...fresh].sort(WORST_FIRST);
    this.version = this.fleet.version;
    this.counts = Object.fromEntries([...STATES, "suspect"].map((name) => [name, 0]));
    for (const server of this.servers) {
      this.counts[state(server)] += 1;
      if (isSuspect(server)) this.counts.suspect += 1;
    }
  }

  #words(server) {
    const models = this.fleet.models(server.id);
    const known = this.words.get(server);
    if (known?.models === models && known.size === models.size) return known.text;
    const labels = Object.entries(server.labels ?? {}).map(([key, value]) => `${key}=${value}`);
    const names = [...models.values()].map((model) => model.model_name);
    const text = texts.folded([server.name, server.url, ...labels, ...names].join("\n"));
    this.words.set(server, { models, size: models.size, text });
    return text;
  }
}

// Suspicion goes beside a state: it is no verdict.
function isLike(server, wanted) {
  return wanted === "suspect" ? isSuspect(server) : state(server) === wanted;
}
