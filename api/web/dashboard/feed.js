// The event stream, kept alive: the fleet as it is, then every change, whatever happens to the connection.
//
// It is read with fetch, because an EventSource can send no token. A number that is still held goes on where the
// page was; otherwise the API begins with the fleet afresh. A heartbeat that stays away ends the connection.

import { access, open, Problem, wantToken } from "./api.js";
import * as opening from "./opening.js";

const SILENCE_MS = 40_000;
const SLEPT_MS = 20_000;
const FIRST_PAUSE_MS = 250;
const LAST_PAUSE_MS = 10_000;

export class Feed {
  // `onMessage(name, data)` gets each message, `onState()` is called when `state` changed:
  // connecting, live, waiting (for the API to come back), offline, refused (a token is needed).
  constructor({ onMessage, onState }) {
    this.state = "connecting";
    this.problem = null;
    this.cursor = null;
    this.heardAt = Date.now();
    this.onMessage = onMessage;
    this.onState = onState;
    this.pause = FIRST_PAUSE_MS;
    this.wake = () => {};
  }

  async run() {
    this.#watch();
    for (;;) {
      try {
        await this.#follow();
        this.#tell("waiting", null);
      } catch (error) {
        this.#judge(error);
      }
      await this.#rest();
    }
  }

  // Connect at once: there is another token, the network is back, or somebody looks again.
  retry() {
    this.pause = FIRST_PAUSE_MS;
    this.wake();
  }

  async #follow() {
    this.heardAt = Date.now();
    const response = await this.#connect();
    this.onMessage("opened", null);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    if (this.cursor !== null) this.#tell("live", null);
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      this.heardAt = Date.now();
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) this.#take(block);
    }
  }

  #connect() {
    if (!this.abort) {
      this.abort = opening.abort;
      return opening.answer;
    }
    this.abort = new AbortController();
    const headers = this.cursor === null ? opening.HEADERS : { ...opening.HEADERS, "Last-Event-ID": this.cursor };
    return open(opening.PATH, { headers, signal: this.abort.signal });
  }

  #take(block) {
    let name = "message";
    let id = null;
    let data = null;
    for (const line of block.split("\n")) {
      if (line.startsWith("id: ")) id = line.slice(4);
      else if (line.startsWith("event: ")) name = line.slice(7);
      else if (line.startsWith("data: ")) data = line.slice(6);
    }
    if (data !== null) {
      const document = JSON.parse(data);
      if (name === "error") throw new Problem(document);
      this.onMessage(name, document);
      if (name === "snapshot.end") this.#tell("live", null);
    }
    if (id !== null) this.cursor = id;
  }

  #judge(error) {
    // What the token allows was changed, which is no reason to give another one.
    if (error instanceof Problem && error.status === 401 && error.code !== "token_changed") {
      if (!access.wanted) wantToken(error);
      this.#tell("refused", error);
    } else if (error instanceof Problem && error.status === 403) {
      // Another token may be allowed to read; another name or address has nothing to do with tokens.
      if (error.code === "scope_missing") wantToken(error);
      this.#tell("refused", error);
    } else {
      // A place that is not held any more, or a message that makes no sense: begin afresh.
      if (!(error instanceof Problem) ? !this.abort.signal.aborted && !(error instanceof TypeError) : error.status !== 0 && error.status < 500) {
        this.cursor = null;
      }
      this.#tell(navigator.onLine ? "waiting" : "offline", error);
    }
  }

  #tell(state, problem) {
    if (state === "live") this.pause = FIRST_PAUSE_MS;
    if (this.state === state && this.problem?.message === problem?.message) return;
    this.state = state;
    this.problem = problem;
    this.onState();
  }

  #rest() {
    const pause = this.state === "refused" ? 3_600_000 : this.pause * (0.5 + Math.random());
    this.pause = Math.min(this.pause * 2, LAST_PAUSE_MS);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #watch() {
    setInterval(() => this.#hangUpAfter(SILENCE_MS), 5_000);
    addEventListener("online", () => this.retry());
    addEventListener("offline", () => {
      this.#tell("offline", null);
      this.abort?.abort();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      // After a sleep the connection may be dead without knowing it.
      this.#hangUpAfter(SLEPT_MS);
      this.retry();
    });
  }

  #hangUpAfter(silence) {
    if (Date.now() - this.heardAt > silence) this.abort?.abort();
  }
}
