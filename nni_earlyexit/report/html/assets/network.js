// One network: its drawing, the slider over its trade-off, its calibration, and inputs that leave early and late.

/** Shows the network that is opened; `remember` hears of each network and point that is shown. */
function networkPanel(data, remember) {
  const section = byId("network");
  const body = element("div");
  section.append(body);
  let own = null;
  let point = 0;
  let parts = null;
  new ResizeObserver(() => own && parts && redraw()).observe(section);

  function redraw() {
    const { points } = own.network;
    const width = Math.max(280, Math.min(620, parts.drawing.clientWidth));
    parts.drawing.replaceChildren(drawing(own.network, points.shares[point], points.cutoffs[point], width));
  }

  function move(to) {
    point = to;
    const { network } = own;
    const { points } = network;
    parts.slider.value = point;
    const said = `budget ${amount(points.avg_macs[point])} average MACs: accuracy ${percent(points.accuracy[point])}`;
    parts.slider.setAttribute("aria-valuetext", said);
    parts.accuracy.textContent = percent(points.accuracy[point]);
    parts.macs.textContent = amount(points.avg_macs[point]);
    parts.share.textContent = percent(points.avg_macs[point] / network.full_macs, 1);
    parts.kept.textContent = percent(points.kept_accuracy[point]);
    parts.keptMacs.textContent = amount(points.kept_macs[point]);
    parts.bar.replaceChildren(...points.shares[point].map((share, exit) => element("div", {
      style: `width:${100 * share}%;background:${exitColour(exit)}`, title: `exit ${exit}: ${percent(share, 1)}`,
    }, share > 0.09 ? `exit ${exit}: ${percent(share, share > 0.16 ? 1 : 0)}` : "")));
    parts.rows.replaceChildren(...exitRows(network, point));
    parts.limit.textContent = network.limit !== null && points.avg_macs[point] > network.limit * (1 + 1e-12)
      ? `This is over the limit of the search, ${amount(network.limit)} average MACs.` : "";
    parts.command.textContent = `nni-earlyexit thresholds ${own.experiment.argument} --trial ${network.id} ` +
      `--max-avg-macs ${Math.ceil(points.avg_macs[point])}`;
    Plotly.restyle(parts.trade, { x: [[points.avg_macs[point]]], y: [[points.accuracy[point]]] }, [3]);
    showPictures();
    redraw();
    remember(own, point);
  }

  function showPictures() {
    if (!parts.pictures) return;
    const { network, experiment } = own;
    const { images, labels, classes } = experiment.pictures;
    const places = [...network.inputs_leave[point]].map(letter => parseInt(letter, 36));
    parts.pictures.replaceChildren(...network.parts.map((_, exit) => {
      const here = places.map((place, i) => [place, i]).filter(([place]) => place === exit).map(([, i]) => i);
      return element("div", {}, element("b", {}, exit === network.parts.length - 1 ? "last exit" : `exit ${exit}`),
        ` ${here.length} of these ${places.length}`,
        element("ul", {}, here.map(i => {
          const answer = network.inputs_said[i][exit];
          const right = answer === labels[i];
          return element("li", { class: right ? null : "wrong" },
            element("img", { src: images[i], alt: `an input of class ${classes[labels[i]]}` }),
            right ? classes[labels[i]] : `${classes[answer]}, is ${classes[labels[i]]}`);
        })));
    }));
  }

  function show(chosen, at) {
    own = chosen;
    const { network, experiment } = own;
    const { points } = network;
    parts = {
      drawing: element("div", { id: "drawing" }),
      slider: element("input", { type: "range", id: "budget", min: 0, max: points.accuracy.length - 1, step: 1,
        oninput: event => move(Number(event.target.value)) }),
      accuracy: element("b", { id: "now-accuracy" }),
      macs: element("b", { id: "now-macs" }),
      share: element("b", { id: "now-share" }),
      kept: element("b", { id: "now-kept" }),
      keptMacs: element("span", { id: "now-kept-macs" }),
      bar: element("div", { class: "bar", id: "leaving", "aria-hidden": "true" }),
      rows: element("tbody", { id: "exits" }),
      limit: element("p", { class: "soft" }),
      command: element("code"),
      trade: place("Accuracy against average MACs of all cutoffs of this network"),
      pictures: network.inputs_leave.length ? element("div", { class: "pictures", id: "pictures" }) : null,
    };
    const calibration = network.calibration.map((_, exit) => place(`Reliability of exit ${exit}`, "low"));
    body.replaceChildren(
      element("p", {}, element("strong", { id: "opened" }, `${networkName(data, own)}, trial ${network.id}`), ". ",
        `${amount(network.full_macs)} MACs with every layer and exit`,
        network.params ? `, ${amount(network.params)} parameters` : "", ". ", element("code", {}, network.architecture)),
      element("div", { class: "grid two" },
        element("div", {},
          element("h3", {}, "Backbone and exits"), parts.drawing,
          ...(network.concerns.length ? [element("h3", {}, "Reasons to be careful"),
            element("ul", { class: "plain" }, network.concerns.map(line => element("li", {}, line)))] : [])),
        element("div", {},
          element("h3", {}, "What other cutoffs make of it"),
          element("label", { for: "budget" }, "Budget, in average MACs of an input"), parts.slider,
          element("div", { class: "now" },
            element("div", {}, parts.accuracy, element("span", {}, `accuracy on ${network.inputs} validation inputs`)),
            element("div", {}, parts.macs, element("span", {}, "average MACs")),
            element("div", {}, parts.share, element("span", {}, "of the full network")),
            element("div", {}, parts.kept, element("span", {}, `kept on ${network.held_out_inputs} other inputs, at `,
              parts.keptMacs))),
          parts.bar,
          element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Exits" }, element("table", {},
            element("thead", {}, element("tr", {}, ["exit", "MACs to leave", "right alone", "leave here", "cutoff"]
              .map(head => element("th", { scope: "col" }, head)))), parts.rows)),
          parts.limit,
          element("p", {}, element("button", { class: "plain", onclick: () => move(network.reported) },
            "Back to the point of the search")),
          parts.trade,
          element("p", { class: "soft" }, `Cutoffs are fitted to the validation split (confidence: ${network.confidence}); ` +
            "the dotted line is what they keep on the calibration split. For a policy to use, cutoffs are fitted again on the " +
            "calibration split: "),
          element("pre", { tabindex: 0, "aria-label": "Command" }, parts.command))),
      element("h3", {}, "Inputs that leave early, and late"),
      parts.pictures ?? element("p", { class: "soft" }, experiment.pictures.why || "There are no pictures of these inputs."),
      ...(parts.pictures ? [element("p", { class: "soft" }, "Validation inputs, some that most cutoffs let go early, some " +
        "late, some between. Red: answered wrong there. The slider moves them.")] : []),
      element("h3", {}, "Can its confidence be trusted?"),
      element("p", { class: "soft" }, "Each exit alone, on all validation inputs: of those that it says a probability of, so " +
        "many should be right. On the diagonal it is calibrated; ECE is the mean distance from it."),
      element("div", { class: "grid small" }, calibration));
    drawTradeOff(parts.trade, network);
    network.calibration.forEach((own, exit) => drawCalibration(calibration[exit], own, exit, network));
    move(at ?? network.reported);
    markOpen(own);
  }

  return { show };
}

function exitRows(network, point) {
  const { points, alone } = network;
  return network.parts.map((part, exit) => {
    const cutoff = points.cutoffs[point][exit];
    return element("tr", {},
      element("td", {}, element("span", { class: "dot", style: `background:${exitColour(exit)}` }), String(exit)),
      cells([amount(part.exit_macs), percent(alone.accuracy[exit]), percent(points.shares[point][exit]),
        part.last ? "–" : cutoff === null ? "dropped" : cutoff.toPrecision(4)]));
  });
}

function drawTradeOff(node, network) {
  const { points, reported, alone } = network;
  draw(node, [
    { name: "kept on other inputs", x: points.kept_macs, y: points.kept_accuracy, mode: "lines",
      line: { color: "#a84a10", dash: "dot", width: 1.5 }, hoverinfo: "skip" },
    { name: "best cutoffs", x: points.avg_macs, y: points.accuracy, mode: "lines+markers",
      line: { color: "#1f5fa8", shape: "hv" }, marker: { size: 5 }, hovertemplate: "%{y:.2%} at %{x:.3s}<extra></extra>" },
    { name: "one exit for all", x: alone.macs, y: alone.accuracy, mode: "markers+text",
      text: alone.macs.map((_, exit) => `exit ${exit}`), textposition: "bottom center",
      marker: { symbol: "square", size: 9, color: "#51606f" }, hovertemplate: "%{text}: %{y:.2%} at %{x:.3s}<extra></extra>" },
    { name: "now", x: [points.avg_macs[reported]], y: [points.accuracy[reported]], mode: "markers",
      marker: { symbol: "star", size: 17, color: "#a3262a" }, hoverinfo: "skip" },
  ], { x: { title: { text: "average MACs of an input" }, tickformat: ".3~s" }, y: PERCENT, hovermode: "closest" });
}

function drawCalibration(node, own, exit, network) {
  const last = exit === network.parts.length - 1;
  draw(node, [
    { x: [0, 1], y: [0, 1], mode: "lines", line: { color: "#8794a1", dash: "dash", width: 1 }, hoverinfo: "skip" },
    { x: own.confidence, y: own.accuracy, mode: "lines+markers", line: { color: exitColour(exit) },
      marker: { size: own.count.map(n => 5 + 16 * Math.sqrt(n / Math.max(...own.count))) }, text: own.count,
      hovertemplate: "says %{x:.0%}, right %{y:.0%}<br>%{text} inputs<extra></extra>" },
  ], {
    showlegend: false, margin: { l: 46, r: 8, t: 30, b: 40 },
    title: { text: `${last ? "last exit" : `exit ${exit}`}, ECE ${percent(own.ece, 1)}`, font: { size: 13 }, x: 0.02 },
    x: { range: [0, 1.04], tickformat: ".0%", title: { text: "says" } }, y: { range: [0, 1.06], tickformat: ".0%" },
  });
}
