// The progress of the search, and the choices that matter.

function showSummary(data) {
  const place = byId("summary");
  byId("title").textContent = data.experiments.map(({ name, title }) => (title ? `${title} (${name})` : name)).join(" · ");
  byId("written").textContent = `Written ${new Date(data.written).toLocaleString()} with nni-earlyexit ` +
    `${data.versions["nni-earlyexit"] ?? ""}`;
  data.experiments.forEach((experiment, index) => {
    const { trials: t, failures, networks, progress } = experiment;
    const within = t.accuracy.filter((_, i) => t.within[i]);
    const best = networks.at(-1);
    const tile = (value, label) => element("div", { class: "tile" }, element("b", {}, value), element("span", {}, label));
    const failed = failures.failed.reduce((sum, { trials }) => sum + trials.length, 0);
    place.append(element("div", {},
      several(data) ? element("p", {}, element("span", { class: "dot", style: `background:${experimentColour(index)}` }),
        element("strong", {}, experiment.name)) : null,
      element("div", { class: "tiles" },
        tile(within.length ? percent(Math.max(...within)) : "–", "best accuracy"),
        tile(best ? amount(best.points.avg_macs[best.reported]) : "–",
          best ? `average MACs of the most accurate on the front, of ${amount(best.full_macs)}` : "average MACs"),
        tile(String(t.front.filter(Boolean).length), "networks on the front"),
        tile(String(t.id.length), `finished trials${failures.running ? `, ${failures.running} running` : ""}` +
          `${failed ? `, ${failed} failed` : ""}${failures.over ? `, ${failures.over} over a limit` : ""}`),
        tile(progress.hypervolume.length ? progress.hypervolume.at(-1).toFixed(4) : "–", "hypervolume"),
        tile(duration(progress.seconds.at(-1)), "from the start to the last result"))));
  });
}

function showProgress(data) {
  const best = place("Best accuracy so far", "low");
  const volume = place("Hypervolume so far", "low");
  const redraw = overTime => {
    const traces = name => data.experiments.map(({ name: id, progress }, index) => ({
      name: id, x: overTime ? progress.seconds.map(s => s / 60) : progress.seconds.map((_, i) => i + 1), y: progress[name],
      mode: "lines", line: { shape: "hv", color: experimentColour(index), dash: index % 2 ? "dash" : "solid" },
      hovertemplate: `${name === "best" ? "%{y:.2%}" : "%{y:.4f}"} after ${overTime ? "%{x:.1f} minutes" : "%{x} trials"}<extra>${id}</extra>`,
    }));
    const x = { title: { text: overTime ? "minutes since the start" : "finished trials" }, rangemode: "tozero" };
    const layout = { showlegend: several(data), x };
    const start = Math.min(...data.experiments.map(({ progress }) => progress.best[Math.floor(progress.best.length / 10)] ?? 1));
    const top = Math.max(0, ...data.experiments.map(({ progress }) => progress.best.at(-1) ?? 0));
    const margin = Math.max(0.002, 0.1 * (top - start));
    draw(best, traces("best"), { ...layout, y: { ...PERCENT, title: { text: "best accuracy" },
      range: [start - margin, top + margin] } });
    draw(volume, traces("hypervolume"), { ...layout, y: { title: { text: "hypervolume" } } });
  };
  const option = (label, overTime) => element("label", {}, element("input", { type: "radio", name: "over",
    checked: !overTime, onchange: () => redraw(overTime) }), ` ${label}`);
  byId("progress").append(
    element("fieldset", {}, element("legend", {}, "Over"), option("trials", false), option("time", true)),
    element("div", { class: "grid two" }, best, volume),
    element("p", { class: "soft" }, "Hypervolume: the share that all trade-offs so far dominate of the box of accuracies from " +
      "0 to 1 and of average MACs, in logarithms, from a hundredth of the dearest full network to that one."));
  redraw(false);
}

const SHOWN_CHOICES = 12;
const LEAST_R2 = 0.2; // below, a forest knows too little for its choices to be ranked

function showImportance(data) {
  const section = byId("choices");
  const beside = element("div", { class: "beside" });
  const drawn = [];
  data.experiments.forEach((experiment, index) => {
    const { importance } = experiment;
    const names = { accuracy: "accuracy", avg_macs: "average MACs (logarithm)" };
    const heading = target => `For ${names[target]}${several(data) ? `, ${experiment.name}` : ""}`;
    if (!Object.keys(importance.targets).length) {
      beside.append(element("p", {}, `${experiment.name}: ${importance.trials} trials within the limits are too few to say; ` +
        `${importance.least} are needed.`));
    }
    for (const [target, own] of Object.entries(importance.targets)) {
      const chart = place(`Importance of the choices for ${names[target]}`);
      const weak = own.r2 < LEAST_R2;
      const quality = `The forest explains ${percent(Math.max(0, own.r2), 0)} of the variance of held-out trials` +
        (weak ? ": too little to trust this order." : ".");
      beside.append(element("div", {}, element("h3", {}, heading(target)), element("p", { class: "soft" }, quality), chart));
      drawn.push([chart, own, index]);
    }
  });
  section.append(beside, element("p", { class: "soft" }, data.experiments[0].importance.method));
  for (const [chart, own, index] of drawn) {
    const most = own.labels.map((label, i) => [label, own.values[i]]).filter(([, value]) => value > 0)
      .slice(0, SHOWN_CHOICES).reverse();
    draw(chart, [{ type: "bar", orientation: "h", y: most.map(([label]) => label), x: most.map(([, value]) => value),
      marker: { color: own.r2 < LEAST_R2 ? "#aab4be" : experimentColour(index) }, hovertemplate: "%{y}: %{x:.3f}<extra></extra>" }],
    { margin: { l: 10, r: 12, t: 4, b: 46 }, x: { title: { text: "R² that is lost" }, rangemode: "tozero" },
      y: { gridcolor: "rgba(0,0,0,0)", tickfont: { size: 12 } } });
  }
}
