// Time as the API has it, since a browser's clock may be wrong, and times in words.

let ahead = 0;

// Take the time of an answer; its head is exact to a second, so small differences are left alone.
export function learn(date) {
  const difference = Date.parse(date) - Date.now();
  if (Number.isFinite(difference)) ahead = Math.abs(difference) > 2000 ? difference : 0;
}

export function now() {
  return Date.now() + ahead;
}

const UNITS = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];

// A length of time in its greatest unit, as `4 min`; below three units the next smaller one too, as `2 h 5 min`.
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const index = UNITS.findIndex(([size]) => whole >= size);
  if (index < 0) return "0 s";
  const [size, unit] = UNITS[index];
  const count = Math.floor(whole / size);
  const next = UNITS[index + 1];
  const rest = next ? Math.floor((whole % size) / next[0]) : 0;
  return count < 3 && rest ? `${count} ${unit} ${rest} ${next[1]}` : `${count} ${unit}`;
}

export function since(moment) {
  return moment ? span((now() - Date.parse(moment)) / 1000) : "";
}

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export function moment(text) {
  return text ? DAY.format(new Date(text)) : "never";
}

export function timeOfDay(milliseconds) {
  return TIME.format(new Date(milliseconds));
}
