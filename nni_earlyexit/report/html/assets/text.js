// Texts and elements.

const EXPERIMENT_COLOURS = ["#1f5fa8", "#a84a10", "#1d6b45", "#7a3e9d", "#8a1f4b"];
const EXIT_COLOURS = ["#0b6e6e", "#2b5fb3", "#7447a8", "#a82f5c", "#8a4b08", "#4a5a12", "#43505e"];

const exitColour = exit => EXIT_COLOURS[exit % EXIT_COLOURS.length];
const experimentColour = index => EXPERIMENT_COLOURS[index % EXPERIMENT_COLOURS.length];

/** An element with attributes, handlers (`onclick`) and children, texts or elements; nothing is read as HTML. */
function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined));
  return node;
}

const byId = id => document.getElementById(id);
const percent = (share, digits = 2) => `${(100 * share).toFixed(digits)} %`;

/** An amount as the command line writes it: three digits and k, M or G. */
function amount(value) {
  if (value === null || value === undefined) return "–";
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (value >= size) return threeDigits(value / size) + unit;
  }
  return value < 1 ? threeDigits(value) : value.toFixed(0);
}

const threeDigits = value => String(Number(value.toPrecision(3)));

/** The number that a person typed: 150000, 150k, 2M; NaN where it is none. */
function parsedAmount(text) {
  const match = /^\s*([\d.]+)\s*([kKmMgG]?)\s*$/.exec(text);
  return match ? Number(match[1]) * { "": 1, k: 1e3, m: 1e6, g: 1e9 }[match[2].toLowerCase()] : NaN;
}

/** The share that a person typed: 98%, 98.5 % or 0.98; NaN where it is none. */
function parsedShare(text) {
  const match = /^\s*([\d.]+)\s*(%?)\s*$/.exec(text);
  const share = match ? Number(match[1]) / (match[2] ? 100 : 1) : NaN;
  return share >= 0 && share <= 1 ? share : NaN;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${seconds.toFixed(0)} s`;
  return seconds < 5400 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** A table in a region of its own that scrolls; heads are texts or elements. */
function table(label, heads, rows, textColumns = []) {
  const kind = column => (textColumns.includes(column) ? "text" : null);
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    element("table", {},
      element("thead", {}, element("tr", {}, heads.map((head, i) => element("th", { scope: "col", class: kind(i) }, head)))),
      element("tbody", {}, rows)));
}

const cells = (values, textColumns = []) =>
  values.map((value, i) => element("td", { class: textColumns.includes(i) ? "text" : null }, value ?? "–"));
