// Failures in words, and how to reproduce the search.

function showFailures(data) {
  const beside = element("div", { class: "beside" });
  for (const { name, failures } of data.experiments) {
    const lines = [];
    const networks = number => `${number} network${number > 1 ? "s" : ""}`;
    if (failures.untrained) lines.push(`${networks(failures.untrained)} missed a limit that is known before training, and ` +
      `${failures.untrained > 1 ? "were" : "was"} not trained.`);
    const trained = failures.over - failures.untrained;
    if (trained) lines.push(`${networks(trained)} missed a limit with the cutoffs that were given.`);
    if (failures.running) lines.push(`${failures.running} trial${failures.running > 1 ? "s have" : " has"} not ended yet.`);
    const failed = failures.failed.map(({ reason, trials }) => element("tr", {}, element("td", {}, String(trials.length)),
      element("td", { class: "text long" }, reason),
      element("td", { class: "text" }, trials.slice(0, 3).join(", ") + (trials.length > 3 ? " …" : ""))));
    const signatures = failures.signatures.map(({ words, count, example }) => element("tr", {},
      element("td", {}, `${count} of ${failures.within}`), element("td", { class: "text long" }, words),
      element("td", { class: "text long" }, example)));
    beside.append(element("div", {},
      several(data) ? element("h3", {}, name) : null,
      failed.length ? table(`Failed trials of ${name}`, ["trials", "reason", "such as"], failed, [1, 2])
        : element("p", {}, "No trial failed."),
      lines.map(line => element("p", {}, line)),
      element("h3", {}, "Networks to be careful with"),
      signatures.length ? table(`Concerns of ${name}`, ["networks", "what is wrong", "such as"], signatures, [1, 2])
        : element("p", {}, "Nothing speaks against the cutoffs of any network.")));
  }
  byId("failures").append(beside);
}

function showReproduction(data) {
  const beside = element("div", { class: "beside" });
  const code = (label, text) => element("pre", { tabindex: 0, role: "region", "aria-label": label }, element("code", {}, text));
  const list = rows => element("dl", {}, Object.entries(rows).flatMap(([name, value]) => [element("dt", {}, name),
    element("dd", {}, typeof value === "string" ? value : JSON.stringify(value))]));
  for (const { name, reproduction } of data.experiments) {
    beside.append(element("div", {},
      several(data) ? element("h3", {}, name) : null,
      list({ folder: reproduction.folder, "search space": reproduction.spaces.join(", "),
        objectives: Object.entries(reproduction.objectives).map(([key, value]) => `${key} ${value}`).join(", ") }),
      reproduction.config
        ? [element("h3", {}, "Experiment file"), code("Experiment file", reproduction.config), element("h3", {}, "Command"),
          code("Command", reproduction.commands.join("\n"))]
        : element("p", {}, "NNI’s database is not in the folder, so the experiment file is not known."),
      element("h3", {}, "Settings of the trials that are not the usual ones"),
      Object.keys(reproduction.settings).length ? list(reproduction.settings) : element("p", {}, "There are none."),
      reproduction.made_with.flatMap(made => [element("h3", {}, "What its trials were made with"), list(made)]),
      reproduction.without_space ? element("p", {}, `The space was not built here: ${reproduction.without_space}`) : null));
  }
  byId("reproduce").append(beside, element("h3", {}, "Versions on the machine that wrote this report"), list(data.versions));
}
