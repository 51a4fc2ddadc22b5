// Asks for the fleet at once, while the rest of the page is still being loaded.

import { open } from "./api.js";

export const PATH = "/api/events/stream?snapshot=true";
export const HEADERS = { Accept: "text/event-stream" };
export const abort = new AbortController();
export const answer = open(PATH, { headers: HEADERS, signal: abort.signal });

// Whoever awaits it later is told.
answer.catch(() => {});
