// The API as the page asks it: JSON, a token if it wants one, and every refusal as a problem with a sentence.

import * as clock from "./clock.js";

const KEY = "ollama-fleet.token";

export class Problem extends Error {
  constructor({ status = 0, code = "unreachable", detail, errors = [], ...members }) {
    super(detail);
    Object.assign(this, { status, code, errors, members });
  }
}

// Kept for this tab only, never in an address.
export const access = {
  get token() {
    return sessionStorage.getItem(KEY) ?? "";
  },
  set token(value) {
    sessionStorage.setItem(KEY, value);
  },
  // The problem for which the page asks for a token, if it does.
  wanted: null,
  onWanted() {},
};

export function wantToken(problem) {
  access.wanted = problem;
  access.onWanted();
}

export async function open(path, { method = "GET", headers = {}, body, signal } = {}) {
  const sent = access.token;
  if (sent) headers = { ...headers, Authorization: `Bearer ${sent}` };
  let response;
  try {
    response = await fetch(path, { method, headers, body, signal, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem({ detail: "The API does not answer. Is it running, and is this machine online?" });
  }
  clock.learn(response.headers.get("Date"));
  if (response.ok) return response;
  const problem = await read(response);
  // Somebody may have given another token meanwhile.
  if (problem.status === 401 && sent === access.token) wantToken(problem);
  throw problem;
}

export async function ask(method, path, { body, ifMatch, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  if (ifMatch) headers["If-Match"] = ifMatch;
  const response = await open(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
  const text = await response.text();
  return { body: text ? JSON.parse(text) : null, etag: response.headers.get("ETag") };
}

export async function get(path, options) {
  return (await ask("GET", path, options)).body;
}

async function read(response) {
  const place = `The API answered ${response.status} without saying why; a proxy before it may be at fault.`;
  try {
    const document = await response.json();
    return new Problem({ ...document, status: response.status, detail: document.detail ?? place });
  } catch {
    return new Problem({ status: response.status, code: "http", detail: place });
  }
}
