// Parallel coordinates and the table of one experiment's trials, which show the same ones.

const AT_FIRST = 25;
const COLUMNS = [
  ["trial", "id", value => value], ["no.", "number", value => (value === null ? "–" : String(value))],
  ["accuracy", "accuracy", value => percent(value)], ["average MACs", "avg_macs", amount],
  ["full MACs", "full_macs", amount], ["parameters", "params", amount], ["seconds an input", "latency_s", amount],
  ["promised too much", "optimism", value => (value === null ? "–" : percent(value, 1).replace(/^-(?=0\.0 )/, ""))], ["concerns", "concerns", String],
  ["trained", "train_seconds", duration],
];

/** Returns `find(index, id)`, which shows one trial in the table. */
function showTrials(data) {
  const section = byId("trials");
  const parallel = element("div");
  byId("choices").append(element("h3", {}, "All trials and their choices"), parallel);
  const body = element("div");
  const choose = element("select", { id: "which", onchange: event => show(Number(event.target.value)) },
    data.experiments.map((experiment, index) => element("option", { value: index }, experiment.name)));
  if (several(data)) section.append(element("p", {}, element("label", { for: "which" }, "Experiment "), choose));
  section.append(body);
  let filters = null;

  function show(index) {
    choose.value = index;
    const view = trialTable(data.experiments[index]);
    filters = view.filters;
    body.replaceChildren(view.node);
    parallel.replaceChildren(parallelCoordinates(data.experiments[index], experimentColour(index), view.keep));
  }

  show(0);
  return (index, id) => {
    if (Number(choose.value) !== index) show(index);
    filters.words.value = id;
    filters.words.dispatchEvent(new Event("input"));
    section.scrollIntoView();
  };
}

function trialTable(experiment) {
  const t = experiment.trials;
  const columns = COLUMNS.filter(([, name]) => t[name]);
  let order = { name: "accuracy", up: false };
  let kept = null;
  let all = false;
  const changed = () => { all = false; fill(); };
  const filters = {
    words: element("input", { type: "search", id: "words", oninput: changed }),
    accuracy: element("input", { type: "text", id: "least-accuracy", placeholder: "98%", oninput: changed }),
    macs: element("input", { type: "text", id: "most-macs", placeholder: "200k", oninput: changed }),
    front: element("input", { type: "checkbox", id: "front-only", onchange: changed }),
    within: element("input", { type: "checkbox", id: "within-only", onchange: changed }),
  };
  const count = element("output", { class: "soft", id: "count", "aria-live": "polite" });
  const rows = element("tbody");
  const more = element("button", { class: "plain", onclick: () => { all = true; fill(); } });
  const heads = columns.map(([label, name]) => element("th", { scope: "col", class: name === "id" ? "text" : null },
    element("button", { onclick() {
      order = { name, up: order.name === name ? !order.up : ["id", "number"].includes(name) };
      fill();
    } }, label)));

  function matching() {
    const words = filters.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const least = parsedShare(filters.accuracy.value);
    const most = parsedAmount(filters.macs.value);
    const only = kept && new Set(kept);
    return t.id.map((_, i) => i).filter(i => {
      const text = `${t.id[i]} ${t.architecture[i]} ${state(t, i)} ${t.remark[i]}`.toLowerCase();
      return words.every(word => text.includes(word)) && !(t.accuracy[i] < least) && !(t.avg_macs[i] > most) &&
        (!filters.front.checked || t.front[i]) && (!filters.within.checked || t.within[i]) && (!only || only.has(i));
    });
  }

  function fill() {
    const own = matching();
    const column = t[order.name];
    own.sort((a, b) => {
      const [x, y] = [column[a] ?? -Infinity, column[b] ?? -Infinity];
      return (x < y ? -1 : x > y ? 1 : 0) * (order.up ? 1 : -1);
    });
    count.textContent = `${own.length} of ${t.id.length} trials`;
    rows.replaceChildren(...own.slice(0, all ? undefined : AT_FIRST).map(i => element("tr", {},
      cells(columns.map(([, name, say]) => say(t[name][i])), [0]),
      element("td", { class: "text" }, [state(t, i), t.remark[i]].filter(Boolean).join(", ")),
      element("td", { class: "text long" }, t.architecture[i]))));
    more.hidden = all || own.length <= AT_FIRST;
    more.textContent = `Show all ${own.length}`;
    columns.forEach(([, name], k) => heads[k].setAttribute("aria-sort",
      order.name !== name ? "none" : order.up ? "ascending" : "descending"));
  }

  const field = (label, input) => element("label", { for: input.id }, label, input);
  const check = (label, input) => element("label", { class: "check" }, input, label);
  fill();
  return {
    filters,
    keep(trials) { kept = trials; fill(); },
    node: element("div", {},
      element("div", { class: "filters" }, field("Words: trial, layer, state", filters.words),
        field("Accuracy from", filters.accuracy), field("Average MACs up to", filters.macs),
        check("on the front", filters.front), check("within the limits", filters.within)),
      count,
      element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Trials" }, element("table", { id: "table" },
        element("thead", {}, element("tr", {}, heads, element("th", { scope: "col", class: "text" }, "state"),
          element("th", { scope: "col", class: "text" }, "network"))), rows)),
      element("p", {}, more)),
  };
}

const state = (t, i) => (t.front[i] ? "front" : t.within[i] ? "within" : "over a limit");
