// The front: a chart, a table, and the choice of a network by a budget or an accuracy.

/** Everything of a network that was opened or can be: its experiment, and its position on that one's front. */
function allNetworks(experiments) {
  return experiments.flatMap((experiment, index) =>
    experiment.networks.map((network, position) => ({ experiment, index, network, number: position + 1 })));
}

const several = data => data.experiments.length > 1;
const networkName = (data, own) => `${several(data) ? `${own.experiment.name}, ` : ""}network ${own.number}`;

function hoverText(experiment, trial) {
  const t = experiment.trials;
  return `<b>${t.id[trial]}</b> ${t.front[trial] ? "on the front" : ""}<br>${percent(t.accuracy[trial])} at ` +
    `${amount(t.avg_macs[trial])} average MACs of ${amount(t.full_macs[trial])}<br>${wrapped(t.architecture[trial])}`;
}

function frontTraces(data) {
  const traces = [];
  data.experiments.forEach((experiment, index) => {
    const t = experiment.trials;
    const colour = experimentColour(index);
    const prefix = several(data) ? `${experiment.name}: ` : "";
    const within = t.id.map((_, i) => i).filter(i => t.within[i]);
    const others = within.filter(i => !t.front[i]);
    const front = within.filter(i => t.front[i]).sort((a, b) => t.avg_macs[a] - t.avg_macs[b]);
    const at = (trials, column) => trials.map(i => t[column][i]);
    const say = trials => trials.map(i => hoverText(experiment, i));
    const ids = trials => trials.map(i => [index, t.id[i]]);
    traces.push({
      name: `${prefix}other trials`, mode: "markers", x: at(others, "avg_macs"), y: at(others, "accuracy"),
      text: say(others), customdata: ids(others), hovertemplate: "%{text}<extra></extra>",
      marker: { color: several(data) ? colour : "#8a96a3", size: 7, opacity: 0.5, symbol: index ? "diamond" : "circle" },
    });
    experiment.networks.forEach((network, i) => traces.push({
      name: `${prefix}cutoffs of each network`, legendgroup: `cutoffs${index}`, showlegend: i === 0, mode: "lines",
      x: network.points.avg_macs, y: network.points.accuracy, hoverinfo: "skip",
      line: { color: colour, width: 1, shape: "hv" }, opacity: 0.35,
    }));
    if (experiment.static.id.length) {
      traces.push({
        name: `${prefix}best networks without early exits`, mode: "lines+markers", x: experiment.static.avg_macs,
        y: experiment.static.accuracy, text: experiment.static.id, line: { color: "#51606f", dash: "dot", shape: "hv" },
        marker: { symbol: "square", size: 6, color: "#51606f" },
        hovertemplate: "%{text}, one exit for every input<br>%{y:.2%} at %{x:.3s} MACs<extra></extra>",
      });
    }
    traces.push({
      name: `${prefix}front`, mode: "lines+markers", x: at(front, "avg_macs"), y: at(front, "accuracy"), text: say(front),
      customdata: ids(front), hovertemplate: "%{text}<extra></extra>", line: { color: colour, width: 2, shape: "hv" },
      marker: { size: 11, color: colour, symbol: index ? "diamond" : "circle" },
    });
  });
  return traces;
}

/** Accuracies from the tenth percentile up, so that a few networks that failed to learn do not flatten the rest. */
function accuracyRange(data) {
  const all = data.experiments.flatMap(({ trials: t }) => t.accuracy.filter((_, i) => t.within[i])).sort((a, b) => a - b);
  const fronts = data.experiments.flatMap(({ trials: t }) => t.accuracy.filter((_, i) => t.front[i]));
  if (!all.length) return undefined;
  const low = Math.min(all[Math.floor(all.length / 10)], ...fronts);
  const high = Math.max(all.at(-1), ...data.experiments.flatMap(own =>
    [...own.static.accuracy, ...own.networks.flatMap(({ points }) => points.accuracy)]));
  const margin = Math.max(0.002, 0.08 * (high - low));
  return [low - margin, high + margin];
}

function frontTable(data, open) {
  const tested = allNetworks(data.experiments).some(own => own.network.test);
  const heads = [...(several(data) ? ["experiment"] : []), "network", "trial", "accuracy", "average MACs", "of all MACs",
    "full MACs", "leave at each exit", ...(tested ? ["test accuracy", "95 % interval", "test MACs"] : []), "remark", ""];
  const text = heads.map((head, i) => [head, i]).filter(([head]) => ["experiment", "trial", "remark"].includes(head))
    .map(([, i]) => i);
  const rows = allNetworks(data.experiments).map(own => {
    const { network, experiment } = own;
    const { points, reported } = network;
    const test = network.test;
    const row = element("tr", { "data-network": `${own.index}/${network.id}` }, cells([
      ...(several(data) ? [experiment.name] : []), String(own.number), network.id, percent(points.accuracy[reported]),
      amount(points.avg_macs[reported]), percent(points.avg_macs[reported] / network.full_macs, 0),
      amount(network.full_macs), points.shares[reported].map(share => percent(share, 0)).join("  "),
      ...(tested ? [test && percent(test.accuracy), test && test.interval.map(end => percent(end, 1)).join(" to "),
        test && amount(test.avg_macs)] : []),
    ], text), element("td", { class: "text long" }, remark(network)), element("td", {}, element("button", {
      class: "open-it", "aria-label": `Open ${networkName(data, own)}`, onclick: () => open(own, undefined, true),
    }, "Open")));
    return row;
  });
  return table("Networks of the front", heads, rows, text);
}

function remark(network) {
  const shares = network.points.shares[network.reported];
  if (shares.length > 1 && shares[0] === 1) return "all leave at its first exit: a small static network, export it as one";
  return network.concerns.length ? `${network.concerns.length} concern${network.concerns.length > 1 ? "s" : ""}` : "";
}

/** The network and point with the most accuracy within a budget, or the least cost for an accuracy; null if there is none. */
function pick(data, { budget = Infinity, accuracy = 0 }) {
  let best = null;
  for (const own of allNetworks(data.experiments)) {
    const { points } = own.network;
    points.accuracy.forEach((value, point) => {
      const cost = points.avg_macs[point];
      if (cost > budget * (1 + 1e-12) || value < accuracy - 1e-9) return;
      const better = !best || (budget < Infinity
        ? value > best.value || (value === best.value && cost < best.cost)
        : cost < best.cost || (cost === best.cost && value > best.value));
      if (better) best = { own, point, value, cost };
    });
  }
  return best;
}

function pickForm(data, open) {
  const answer = element("output", { class: "answer", id: "picked", for: "wish" },
    "The best network and cutoffs for it are shown here, of all trade-offs of the front.");
  const wish = element("input", { type: "text", id: "wish", size: 12, autocomplete: "off", "aria-describedby": "wish-help" });
  const form = element("form", {
    onsubmit(event) {
      event.preventDefault();
      const text = wish.value.trim();
      const isShare = text.endsWith("%") || (Number(text) > 0 && Number(text) <= 1);
      const goal = isShare ? { accuracy: parsedShare(text) } : { budget: parsedAmount(text) };
      if (Object.values(goal).some(Number.isNaN)) {
        answer.textContent = `“${text}” is not possible; a budget such as 150k or 2M, or an accuracy such as 98% is.`;
        return;
      }
      const best = pick(data, goal);
      if (!best) {
        answer.textContent = isShare ? "No network of the front reaches that." : "No network of the front is that cheap.";
        return;
      }
      answer.textContent = `${networkName(data, best.own)} (${best.own.network.id}): ${percent(best.value)} at ` +
        `${amount(best.cost)} average MACs. It is open below, at these cutoffs.`;
      open(best.own, best.point);
    },
  },
  element("p", {}, element("label", { for: "wish" }, "Average MACs that you have, or accuracy that you need")),
  element("p", {}, wish, " ", element("button", { class: "plain", type: "submit" }, "Pick")),
  element("p", { class: "soft", id: "wish-help" }, "150k, 2M: the most accurate within. 98%: the cheapest that reaches it."));
  return element("div", {}, element("h3", {}, "Pick one"), form, answer);
}

function showFront(data, open, find) {
  const chart = place("Accuracy against average MACs of every trial, with the front; the table below lists its networks");
  const section = byId("front");
  const traces = frontTraces(data);
  const macs = traces.flatMap(trace => [...trace.x]).filter(x => x > 0);
  // a logarithmic axis has numbers at 1, 2 and 5 times a power of ten, of which a narrow range may hold none
  const scale = Math.max(...macs) > 5 * Math.min(...macs) ? { type: "log", dtick: "D2" } : {};
  const cost = { ...scale, title: { text: "average MACs of an input" }, tickformat: ".3~s" };
  section.append(
    element("div", { class: "grid wide" }, element("div", {}, chart), pickForm(data, open)),
    element("p", { class: "soft" }, "Hover to see a network, click one of the front to open it. Thin lines are what other " +
      "cutoffs make of each network of the front."),
    frontTable(data, open));
  for (const experiment of data.experiments) {
    if (!experiment.networks.length) section.append(element("p", {}, `${experiment.name}: no trial within the limits yet.`));
    if (experiment.left_out) {
      section.append(element("p", { class: "soft" }, `${experiment.name}: ${experiment.left_out} more networks are on the ` +
        "front; those that can be opened are spread over it."));
    }
    for (const line of experiment.unusable) section.append(element("p", { class: "soft" }, `Cannot be opened: ${line}`));
  }
  draw(chart, traces, { x: cost, y: { ...PERCENT, title: { text: "validation accuracy" }, range: accuracyRange(data) },
    hovermode: "closest" });
  chart.on("plotly_click", event => {
    const [index, id] = event.points[0].customdata ?? [];
    if (id === undefined) return;
    const own = allNetworks(data.experiments).find(other => other.index === index && other.network.id === id);
    if (own) open(own, undefined, true);
    else find(index, id);
  });
}

function markOpen(own) {
  for (const row of document.querySelectorAll("tr[data-network]")) {
    row.classList.toggle("open", row.dataset.network === `${own.index}/${own.network.id}`);
  }
}
