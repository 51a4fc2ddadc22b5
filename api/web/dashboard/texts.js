// Numbers and lists in words.

const BYTES = ["B", "kB", "MB", "GB", "TB"];

export function bytes(count) {
  if (count === null || count === undefined) return "";
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < BYTES.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${BYTES[unit]}`;
}

export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

// Rounded down: a server that was away for a second was not there for 100 %.
export function percent(share) {
  if (share === null || share === undefined) return "–";
  const tenths = Math.floor(share * 10_000) / 100;
  return `${tenths === 100 ? "100" : tenths.toFixed(2)} %`;
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

// Names compare as people sort them, in every script.
export const byName = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;

// As it is searched: without the difference of capitals, nor of two ways to write the same letter.
export function folded(text) {
  return text.normalize("NFKC").toLowerCase();
}
