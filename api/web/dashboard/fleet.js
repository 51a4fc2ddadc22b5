// The fleet as the page knows it: the snapshot, and every event folded into it.
//
// Invariant: a server or model is never changed in place, so that what is the same object looks the same.

const STATUS_EVENTS = new Set(["server.up", "server.degraded", "server.down"]);
// What makes no event, and is read again now and then.
const SILENT = ["last_checked_at", "next_check_at", "latency_ms", "models_listed_at", "watch_state", "stale", "status_changed_at",
  // Long, or of no great news.
  "ca_pem", "client_cert", "tls_expires_at",
  // Events tell only of a suspicion that lasts.
  "suspect_since", "suspect_reason"];
const NO_MODELS = new Map();

export class Fleet {
  constructor() {
    this.servers = new Map();
    this.modelsOf = new Map();
    this.history = new Map();
    this.seq = null;
    this.isComplete = false;
    this.version = 0;
    this.draft = null;
  }

  // Take one message of the stream; returns the event if it was one.
  take(name, data) {
    this.version += 1;
    // What a connection before left unfinished is not gone on with.
    if (name === "opened") this.draft = null;
    else if (name === "snapshot") return this.#begin(data);
    else if (name === "snapshot.end") return this.#complete(data);
    if (!data?.type) return null;
    this.seq = data.seq;
    if (data.model_id) this.#foldModel(data);
    else if (data.server_id) this.#foldServer(data);
    return data;
  }

  models(serverId) {
    return this.modelsOf.get(serverId) ?? NO_MODELS;
  }

  // Take what makes no event from a server as REST shows it. Whether it is there at all, events say.
  refresh(fresh) {
    const known = this.servers.get(fresh.id);
    if (!known || SILENT.every((field) => known[field] === fresh[field])) return;
    const isSameVerdict = known.status === fresh.status;
    const fields = isSameVerdict ? SILENT : SILENT.filter((field) => field !== "status_changed_at");
    this.#put({ ...known, ...Object.fromEntries(fields.map((field) => [field, fresh[field]])) });
    this.version += 1;
  }

  #begin({ servers, models }) {
    if (!this.draft) {
      this.draft = { servers: new Map(), modelsOf: new Map() };
      // Of a page that knows nothing yet, even a part is worth showing.
      if (!this.isComplete) Object.assign(this, this.draft);
    }
    for (const server of servers) this.draft.servers.set(server.id, server);
    for (const model of models) putModel(this.draft.modelsOf, model);
    return null;
  }

  #complete({ seq }) {
    Object.assign(this, this.draft, { seq, isComplete: true, draft: null });
    return null;
  }

  #put(server) {
    this.servers.set(server.id, server);
  }

  #foldServer({ type, server_id: id, at, body }) {
    const known = this.servers.get(id);
    if (type === "server.created") this.#put(fromEvent(body));
    else if (type === "server.deleted") {
      for (const known of [this.servers, this.modelsOf, this.history]) known.delete(id);
    } else if (!known) return;
    else if (STATUS_EVENTS.has(type)) {
      this.#put({
        ...known,
        status: body.to,
        status_reason: body.reason,
        status_detail: body.detail,
        is_available: body.to !== "down",
        latency_ms: body.latency_ms,
        status_changed_at: at,
        last_checked_at: at,
        stale: false,
        ...(body.to === "down" ? { suspect_since: null, suspect_reason: null } : {}),
      });
      if (body.to === "down") this.#emptyMemory(id);
    } else this.#put(withEdits(known, body, at));
  }

  // Of a server that is down nothing is in memory; the events of its models say so a little later.
  #emptyMemory(serverId) {
    for (const model of this.models(serverId).values()) {
      if (model.size_vram !== null) this.#putModel({ ...model, size_vram: null, loaded_size_bytes: null, expires_at: null });
    }
  }

  #foldModel({ type, server_id: serverId, model_id: id, body }) {
    const known = this.models(serverId).get(id);
    if (type === "model.removed") {
      const models = new Map(this.models(serverId));
      models.delete(id);
      this.modelsOf.set(serverId, models);
    } else if (type === "model.added") this.#putModel({ ...body, id, server_id: serverId });
    else if (type === "model.unloaded") this.#putModel({ ...known, ...body, size_vram: null, loaded_size_bytes: null, expires_at: null });
    else if (known) this.#putModel({ ...known, ...body });
  }

  #putModel(model) {
    if (!model.id) return;
    // A new Map, so that a row that shows a server's models sees that they changed.
    this.modelsOf.set(model.server_id, new Map(this.models(model.server_id)));
    putModel(this.modelsOf, model);
  }
}

function putModel(modelsOf, model) {
  if (!modelsOf.has(model.server_id)) modelsOf.set(model.server_id, new Map());
  modelsOf.get(model.server_id).set(model.id, model);
}

function fromEvent({ auth_type: type, auth_configured: configured, api: choice = "auto", api_seen: api = null, ...columns }) {
  return { stale: false, latency_ms: null, last_checked_at: null, next_check_at: null, api, api_pinned: choice !== "auto", ...columns, auth: { type, configured: Boolean(configured) } };
}

function withEdits(known, { auth_type: type, auth_configured: configured, api: choice, api_seen: api = known.api, lasted_seconds: _, ...columns }, at) {
  const auth = { type: type ?? known.auth?.type, configured: configured ?? known.auth?.configured };
  const status = "status" in columns ? { status_changed_at: at, stale: false } : columns.suspect_since ? { stale: false } : {};
  const pinned = choice === undefined ? known.api_pinned : choice !== "auto";
  return { ...known, ...status, ...columns, api, api_pinned: pinned, auth };
}
