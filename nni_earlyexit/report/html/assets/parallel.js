// Parallel coordinates of the trials: an axis for each metric and choice, narrowed by dragging or with the arrow keys.

const MOST_AXES = 9;
const HEIGHT = 320;
const TOP = 58;
const LEVELS = 20; // steps of the arrow keys on an axis of numbers

/** `heard` gets the positions of the trials that are within all ranges, or null where no axis is narrowed. */
function parallelCoordinates(experiment, colour, heard) {
  const t = experiment.trials;
  const rows = t.id.map((_, i) => i).filter(i => t.within[i]);
  const available = [...metricAxes(t, rows), ...choiceAxes(experiment)];
  const shown = new Set(available.slice(0, 2).map(axis => axis.name));
  const ranked = Object.values(experiment.importance.targets).flatMap(({ labels }) => labels.slice(0, 3));
  for (const name of [...ranked, ...available.slice(2).map(axis => axis.name)]) {
    if (shown.size < Math.min(MOST_AXES - 1, 8)) shown.add(name);
  }
  const node = element("div", { class: "scroll" });
  const said = element("output", { class: "soft" });

  function tell() {
    const narrowed = available.filter(axis => axis.range);
    const kept = rows.filter(i => narrowed.every(axis => within(axis, i)));
    heard(narrowed.length ? kept : null);
    said.textContent = narrowed.length ? `${kept.length} of ${rows.length} trials: ${narrowed.map(rangeText).join(", ")}`
      : "Drag along an axis, or use its arrow keys, to keep the trials between; Escape frees it.";
    return new Set(kept);
  }

  function redraw() {
    const axes = available.filter(axis => shown.has(axis.name));
    const room = Math.max(node.clientWidth || 640, axes.length * 86);
    const step = room / axes.length;
    const y = (axis, value) => TOP + (HEIGHT - TOP - 24) * (1 - (value - axis.low) / (axis.high - axis.low || 1));
    const x = index => step * (index + 0.5);
    const kept = tell();
    const path = i => axes.map((axis, k) => `${k ? "L" : "M"}${x(k).toFixed(1)} ${y(axis, axis.values[i]).toFixed(1)}`).join("");
    const ordered = [...rows].sort((a, b) => kept.has(a) - kept.has(b) || t.front[a] - t.front[b]);
    const paths = ordered.map(i => svg("path", {
      d: path(i), fill: "none", "stroke-width": t.front[i] && kept.has(i) ? 2.5 : 1,
      stroke: kept.has(i) ? (t.front[i] ? "#a3262a" : colour) : "#c9d0d7", "stroke-opacity": kept.has(i) ? (t.front[i] ? 1 : 0.45) : 0.3,
    }));
    const groups = axes.map((axis, k) => axisGroup(axis, x(k), k, value => y(axis, value)));
    const focused = node.querySelector(".axis:focus")?.dataset.axis;
    node.replaceChildren(svg("svg", { width: room, height: HEIGHT, role: "group", "aria-label": "Parallel coordinates" },
      paths, groups));
    if (focused) node.querySelector(`[data-axis="${CSS.escape(focused)}"]`)?.focus();
  }

  function axisGroup(axis, at, k, y) {
    const ticks = axis.ticks.map(([value, label]) =>
      svg("text", { x: at + 6, y: y(value) + 4, class: "faint", style: "font-size:11px" }, label));
    const band = axis.range && svg("rect", { x: at - 8, width: 16, y: y(axis.range[1]) - 3,
      height: Math.max(6, y(axis.range[0]) - y(axis.range[1]) + 6), fill: colour, "fill-opacity": 0.3, stroke: colour });
    const group = svg("g", {
      class: "axis", tabindex: 0, role: "slider", "data-axis": axis.name, "aria-label": axis.name,
      "aria-valuemin": axis.low, "aria-valuemax": axis.high, "aria-valuenow": axis.range ? axis.range[0] : axis.low,
      "aria-valuetext": axis.range ? rangeText(axis) : "all",
      onkeydown: event => byKey(event, axis),
      onpointerdown: event => byPointer(event, axis),
    },
    svg("title", {}, axis.name),
    svg("rect", { x: at - 22, y: TOP - 12, width: 44, height: HEIGHT - TOP + 4, fill: "transparent" }),
    svg("line", { class: "rail", x1: at, x2: at, y1: y(axis.low), y2: y(axis.high), stroke: "#51606f", "stroke-width": 2 }),
    band, ticks,
    // two heights, so that neighbours do not touch
    svg("text", { x: at, y: k % 2 ? 18 : 36, class: "strong", "text-anchor": "middle", style: "font-size:11.5px" }, axis.name));
    return group;
  }

  function byKey(event, axis) {
    const size = axis.discrete ? 1 : (axis.high - axis.low) / LEVELS;
    let [low, high] = axis.range ?? [axis.low, axis.high];
    const slack = axis.discrete ? 0 : 1e-9 * Math.abs(axis.high);
    if (event.key === "Escape") axis.range = null;
    else if (event.key === "ArrowUp") low = Math.min(low + size, high);
    else if (event.key === "ArrowDown") high = Math.max(high - size, low);
    else return;
    event.preventDefault();
    if (event.key !== "Escape") axis.range = [low - slack, high + slack];
    redraw();
  }

  function byPointer(event, axis) {
    event.preventDefault();
    const area = node.querySelector("svg").getBoundingClientRect();
    const value = moved => {
      const share = 1 - (moved.clientY - area.top - TOP) / (HEIGHT - TOP - 24);
      // the outermost trials lie on the ends, which a pointer hardly hits
      return axis.low + (share > 0.97 ? 1 : share < 0.03 ? 0 : share) * (axis.high - axis.low);
    };
    const start = value(event);
    const drag = moved => {
      const ends = [start, value(moved)].sort((a, b) => a - b);
      axis.range = axis.discrete ? [Math.ceil(ends[0] - 0.5), Math.floor(ends[1] + 0.5)] : ends;
      redraw();
    };
    const stop = moved => {
      removeEventListener("pointermove", drag);
      removeEventListener("pointerup", stop);
      if (!axis.discrete && Math.abs(moved.clientY - event.clientY) < 4) axis.range = null;
      redraw();
      node.querySelector(`[data-axis="${CSS.escape(axis.name)}"]`)?.focus({ preventScroll: true });
    };
    addEventListener("pointermove", drag);
    addEventListener("pointerup", stop);
    if (axis.discrete) drag(event);
  }

  const boxes = element("details", {}, element("summary", {}, "Axes"), element("fieldset", {},
    element("legend", {}, "Show"), available.map(axis => element("label", {}, element("input", {
      type: "checkbox", checked: shown.has(axis.name), onchange(event) {
        if (event.target.checked) shown.add(axis.name);
        else { shown.delete(axis.name); axis.range = null; }
        redraw();
      },
    }), ` ${axis.name}`))));
  const free = element("button", { class: "plain", onclick() {
    for (const axis of available) axis.range = null;
    redraw();
  } }, "Free all axes");
  new ResizeObserver(redraw).observe(node);
  return element("div", {}, node, element("p", {}, said), element("p", {}, free), boxes);
}

const within = (axis, row) => axis.values[row] >= axis.range[0] && axis.values[row] <= axis.range[1];

function rangeText(axis) {
  const ends = axis.range.map(value => axis.say(value));
  return `${axis.name} ${ends[0] === ends[1] ? ends[0] : `${ends[0]} to ${ends[1]}`}`;
}

function metricAxes(t, rows) {
  return [["accuracy", value => percent(value)], ["avg_macs", amount], ["full_macs", amount], ["params", amount]]
    .filter(([name]) => t[name]).map(([name, say]) => {
      const values = t[name];
      const own = rows.map(i => values[i]);
      const [low, high] = [Math.min(...own), Math.max(...own)];
      return { name, values, low, high, say, discrete: false, range: null, ticks: [[low, say(low)], [high, say(high)]] };
    });
}

function choiceAxes(experiment) {
  return experiment.choices.map(({ label, values, codes }) => {
    const low = codes.includes(-1) ? -1 : 0;
    const say = code => (code === -1 ? "unused" : String(values[code] ?? code));
    const high = values.length - 1;
    const ticks = Array.from({ length: high - low + 1 }, (_, i) => [low + i, say(low + i)]);
    return { name: label, values: codes, low, high, say, discrete: true, range: null, ticks };
  });
}
