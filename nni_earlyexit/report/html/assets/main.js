// The page from top to bottom. What is open stands in the address, so that it is kept when the page is loaded again.

const data = JSON.parse(byId("data").textContent);

const panel = networkPanel(data, (own, point) =>
  history.replaceState(null, "", `#network=${own.index}/${encodeURIComponent(own.network.id)}/${point}`));

function open(own, point, go = false) {
  panel.show(own, point);
  if (!go) return;
  byId("network").scrollIntoView();
  byId("network").focus({ preventScroll: true });
}

function openAtFirst(address) {
  const networks = allNetworks(data.experiments);
  const [, index, id, point] = /^#network=(\d+)\/([^/]+)\/(\d+)$/.exec(address) ?? [];
  const own = networks.find(other => String(other.index) === index && other.network.id === decodeURIComponent(id ?? ""));
  if (own) open(own, Math.min(Number(point), own.network.points.accuracy.length - 1));
  else if (networks.length) open(networks.at(-1));
  else byId("network").append(element("p", {}, "There is no network to open yet."));
}

/** Load the page again while the search runs, unless the reader has stopped that. */
function refresh(seconds) {
  const box = byId("refresh");
  byId("live").hidden = false;
  byId("live").querySelector("span").textContent = `The search runs: load this page again every ${seconds} seconds`;
  box.checked = sessionStorage.getItem("refresh") !== "no";
  box.addEventListener("change", () => sessionStorage.setItem("refresh", box.checked ? "yes" : "no"));
  setInterval(() => box.checked && location.reload(), 1000 * seconds);
}

try {
  const address = location.hash;
  await loadPlotly();
  showSummary(data);
  showImportance(data);
  const find = showTrials(data);
  showFront(data, open, find);
  openAtFirst(address);
  showProgress(data);
  showFailures(data);
  showReproduction(data);
  if (data.refresh_s) refresh(data.refresh_s);
} catch (error) {
  document.querySelector("main").prepend(element("p", { class: "card", role: "alert" }, typeof DecompressionStream === "undefined"
    ? "This browser is too old for the report; one of 2023 or later shows it." : `The report cannot be drawn: ${error}`));
  throw error;
} finally {
  document.querySelector("main").setAttribute("aria-busy", "false");
}
