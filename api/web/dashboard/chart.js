// The chart of a server's latency, with the times when it was down or not known behind it.

const SCRIPT = new URL("./vendor/uplot/uPlot.iife.min.js", import.meta.url);
const STYLE = new URL("./vendor/uplot/uPlot.min.css", import.meta.url);
const HEIGHT = 200;

// The page's rules take no text for the address of a script, unless a policy they know vouches for it.
const ADDRESS = window.trustedTypes
  ? window.trustedTypes.createPolicy("chart", { createScriptURL: () => SCRIPT.pathname }).createScriptURL("")
  : SCRIPT.pathname;

let loading = null;

// Loaded when the first chart is drawn: it is as big as all the rest together.
function load() {
  loading ??= new Promise((resolve, reject) => {
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: STYLE.pathname });
    const script = document.createElement("script");
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => {
      loading = null;
      script.remove();
      reject(new Error("The chart could not be loaded."));
    };
    script.src = ADDRESS;
    document.head.append(style, script);
  });
  return loading;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function bands(slots) {
  return (chart) => {
    const { ctx, bbox } = chart;
    for (const slot of slots) {
      const begin = Date.parse(slot.start) / 1000;
      const left = chart.valToPos(begin, "x", true);
      const width = chart.valToPos(begin + slot.seconds, "x", true) - left;
      for (const [part, name] of [["unknown", "--unknown-soft"], ["degraded", "--degraded-soft"], ["down", "--down-soft"]]) {
        if (!slot[part]) continue;
        ctx.fillStyle = colour(name);
        // At least a pixel: a short fall is one, too.
        ctx.fillRect(left, bbox.top, Math.max(1, (width * slot[part]) / slot.seconds), bbox.height);
      }
    }
  };
}

// Times of the day, or dates where the chart is of more than two days.
function moments(slots) {
  const isLong = Date.parse(slots.at(-1).start) - Date.parse(slots[0].start) > 2 * 86_400_000;
  const format = new Intl.DateTimeFormat(undefined, isLong ? { day: "numeric", month: "short" } : { timeStyle: "short" });
  return (chart, values) => values.map((value) => format.format(new Date(value * 1000)));
}

function options(slots, width) {
  const axis = { stroke: () => colour("--quiet"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    hooks: { drawClear: [bands(slots)] },
    scales: { y: { range: (chart, least, most) => [0, Math.max(1, (most ?? 1) * 1.15)] } },
    axes: [{ ...axis, size: 30, values: moments(slots) }, { ...axis, size: 56, values: (chart, values) => values.map((value) => `${value} ms`) }],
    series: [{}, { stroke: () => colour("--accent"), width: 1.5, spanGaps: false, points: { show: false } }],
  };
}

export class Chart {
  constructor() {
    this.slots = null;
    this.chart = null;
    this.colours = matchMedia("(prefers-color-scheme: dark)");
    this.colours.addEventListener("change", this.#repaint);
  }

  // Draw into an element, or again if there is something new; an element of another page is another chart.
  async draw(element, slots) {
    if (!element || (this.slots === slots && this.chart?.root.parentNode === element)) return;
    this.slots = slots;
    const uPlot = await load();
    if (this.slots !== slots || !element.isConnected) return;
    this.chart?.destroy();
    const data = [slots.map((slot) => Date.parse(slot.start) / 1000), slots.map((slot) => slot.latency_p50_ms)];
    this.chart = new uPlot(options(slots, element.clientWidth), data, element);
    this.observer ??= new ResizeObserver(([{ target }]) => this.chart?.setSize({ width: target.clientWidth, height: HEIGHT }));
    this.observer.disconnect();
    this.observer.observe(element);
  }

  leave() {
    this.observer?.disconnect();
    this.colours.removeEventListener("change", this.#repaint);
    this.chart?.destroy();
    this.chart = null;
    this.slots = null;
  }

  #repaint = () => this.chart?.redraw(false);
}
