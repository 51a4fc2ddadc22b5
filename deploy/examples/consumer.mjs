// Follows ollama-fleet's event stream from Node 18 or newer: `node consumer.mjs http://127.0.0.1:8420 CURSOR_FILE`.
// An event is printed before the cursor moves: after a crash the last one may come twice, and none is left out.
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const [base, file] = process.argv.slice(2);
if (!file || !URL.canParse(base)) {
  console.error("usage: node consumer.mjs http://127.0.0.1:8420 CURSOR_FILE");
  process.exit(2);
}
const SILENCE_MS = Number(process.env.SILENCE_MS ?? 40_000); // The stream says something every 15 s.
const LAST_RETRY_MS = 3_000;
const TOKEN = process.env.OLLAMA_FLEET_API_TOKEN; // Where the API wants one.
const ENDINGS = { 410: 3, 409: 4 }; // Retention has passed the cursor; it is another database's.
let cursor = existsSync(file) ? readFileSync(file, "utf8").trim() : "0";
let retry = 100;
let said = "";

function store(seq) {
  const next = openSync(`${file}.next`, "w");
  writeSync(next, `${seq}\n`);
  fsyncSync(next);
  closeSync(next);
  renameSync(`${file}.next`, file); // A crash leaves the old cursor or the new one, never half of one.
  cursor = seq;
}

function complain(sentence) {
  if (sentence !== said) console.error(sentence); // Once, not at each try.
  said = sentence;
}

function take(message) {
  const fields = { data: [] };
  for (const line of message.split("\n")) {
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (name === "data") fields.data.push(value);
    else fields[name] = value; // A comment, the sign of life, has an empty name.
  }
  if (fields.data.length === 0 || !fields.id) return;
  console.log(fields.data.join("\n"));
  store(fields.id);
}

async function follow() {
  const silence = new AbortController();
  const watch = setTimeout(() => silence.abort(new Error("the stream is silent")), SILENCE_MS);
  try {
    const headers = { Accept: "text/event-stream", "Last-Event-ID": cursor };
    if (TOKEN) headers.Authorization = `Bearer ${TOKEN}`;
    const answer = await fetch(new URL("/api/events/stream", base), { headers, signal: silence.signal });
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({ detail: `it answered ${answer.status}` }));
      complain(`${base} refuses: ${problem.detail}`);
      if (answer.status < 500) process.exit(ENDINGS[answer.status] ?? 1);
      return;
    }
    said = "";
    let text = "";
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      watch.refresh();
      retry = 100;
      const messages = (text + piece).replaceAll("\r\n", "\n").split("\n\n");
      text = messages.pop();
      messages.forEach(take);
    }
  } finally {
    clearTimeout(watch);
  }
}

process.on("SIGTERM", () => process.exit(0));
for (;;) {
  await follow().catch(() => complain(`${base} does not answer; it is tried again.`));
  await sleep(retry);
  retry = Math.min(2 * retry, LAST_RETRY_MS);
}
