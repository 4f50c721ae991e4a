// plotly.js, inflated from the page itself, and what all charts have in common.

async function loadPlotly() {
  const packed = Uint8Array.from(atob(byId("plotly").textContent), letter => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

const AXIS = { gridcolor: "#e6eaee", linecolor: "#8794a1", zeroline: false, automargin: true };
const LAYOUT = {
  font: { family: "system-ui, Segoe UI, Roboto, sans-serif", size: 13, color: "#1c2430" },
  margin: { l: 62, r: 12, t: 8, b: 46 },
  paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "rgba(0,0,0,0)",
  hoverlabel: { align: "left", bgcolor: "#fff", font: { color: "#1c2430" } },
  legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
  dragmode: false,
};
const PERCENT = { tickformat: ".4~p" };

/** An element for a chart, which says to those who cannot see it what it shows. */
const place = (label, kind = "") => element("div", { class: `chart ${kind}`, role: "img", "aria-label": label });

/** Draw traces, or draw them anew. */
function draw(node, traces, { x = {}, y = {}, ...layout } = {}) {
  return Plotly.react(node, traces, { ...LAYOUT, ...layout, xaxis: { ...AXIS, ...x }, yaxis: { ...AXIS, ...y } },
    { displayModeBar: false, responsive: true });
}

/** A text in lines for a hover label. */
function wrapped(text, width = 60) {
  const lines = [""];
  for (const word of text.split(" ")) {
    if (lines.at(-1).length + word.length > width) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
  }
  return lines.join("<br>");
}
