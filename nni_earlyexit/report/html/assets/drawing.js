// A drawing of a network: its backbone from top to bottom, and what leaves at each exit to the right.

const LINE = 17;

/** Words in lines of at most so many letters. */
function lines(words, letters) {
  const result = [];
  for (const word of words) {
    if (result.length && result.at(-1).length + word.length + 3 <= letters) result[result.length - 1] += ` · ${word}`;
    else result.push(word);
  }
  return result;
}

/** The drawing at a width in pixels, for the shares of inputs that leave at each exit and the cutoffs there. */
function drawing(network, shares, cutoffs, width) {
  const left = Math.round(width * 0.46);
  const gap = Math.round(width * 0.09);
  const right = left + gap;
  const letters = pixels => Math.floor((pixels - 24) / 6.6);
  const nodes = [];
  let y = 4;
  const text = (x, at, words, kind) => nodes.push(svg("text", { x, y: at, class: kind }, words));
  text(10, y + 13, "input", "faint");
  y += 24;
  network.parts.forEach((part, exit) => {
    const dropped = cutoffs[exit] === null && !part.last;
    const backbone = part.stages.flatMap(({ stage, layers }) =>
      lines([`stage ${stage}:`, ...(layers.length ? layers : ["fixed layers"])].map((word, i, all) =>
        i === 0 ? `${word} ${all[1]}` : i === 1 ? null : word).filter(Boolean), letters(left)));
    const own = lines(part.layers.length ? part.layers : ["classifier"], letters(width - right));
    const heading = part.last ? `last exit (${exit})` : `exit ${exit}`;
    const facts = lines([`${amount(part.branch_macs)} MACs`, `${amount(part.exit_macs)} so far`,
      `${percent(network.alone.accuracy[exit], 1)} right alone`], letters(width - right));
    const height = LINE * Math.max(backbone.length + 1, own.length + facts.length + 2) + 16;
    nodes.push(svg("line", { x1: left / 2, x2: left / 2, y1: y - 14, y2: y, stroke: "#51606f", "stroke-width": 2 }));
    nodes.push(svg("rect", { x: 2, y, width: left - 2, height, rx: 8, fill: "#eef2f6", stroke: "#8794a1" }));
    backbone.forEach((line, i) => text(12, y + 20 + LINE * i, line));
    text(12, y + height - 10, `${amount(part.backbone_macs)} MACs`, "faint");
    const middle = y + height / 2;
    const share = shares[exit];
    nodes.push(svg("line", {
      x1: left, x2: right, y1: middle, y2: middle, stroke: dropped ? "#b6bfc8" : exitColour(exit),
      "stroke-width": Math.max(1.5, 26 * share), "stroke-dasharray": dropped ? "4 4" : null,
    }));
    nodes.push(svg("rect", { x: right, y, width: width - right - 2, height, rx: 8, fill: "#fff",
      stroke: dropped ? "#b6bfc8" : exitColour(exit), "stroke-width": 2, "stroke-dasharray": dropped ? "4 4" : null }));
    text(right + 12, y + 20, heading, "strong");
    own.forEach((line, i) => text(right + 12, y + 20 + LINE * (i + 1), line));
    facts.forEach((line, i) => text(right + 12, y + 20 + LINE * (own.length + 1 + i), line, "faint"));
    text(right + 12, y + 20 + LINE * (own.length + 1 + facts.length),
      dropped ? "dropped: not run" : `${percent(share, 1)} leave here`, "strong");
    y += height + 14;
  });
  const said = network.parts.map((part, exit) =>
    `exit ${exit} after ${amount(part.exit_macs)} MACs, ${percent(shares[exit], 1)} leave`).join("; ");
  return svg("svg", { width, height: y, viewBox: `0 0 ${width} ${y}`, role: "img",
    "aria-label": `Backbone and exits: ${said}` }, nodes);
}
