/* The page: its controls, their actions, and when charts are drawn. */

const board = await readBoard();
const view = new View(board);
const by = (id) => document.getElementById(id);

/** Charts by the id of their element, drawn when it scrolls into view and redrawn on changes. */
const charts = {
  planes: () => drawPlanes(board, view, by("plane-error").value),
  costs: () => drawCosts(board, view, by("cost-error").value, by("cost-against").value, by("cost").value),
  diagrams: () => drawDiagrams(board, view, by("diagram-calibrator").value),
  ...Object.fromEntries(Object.entries(board.fidelities)
    .map(([anchor, fidelities]) => [`${anchor}-fidelity`, () => drawFidelities(`${anchor}-fidelity`, fidelities)])),
};
const outdated = new Set(Object.keys(charts));
const inSight = new Set();
const sight = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    if (isIntersecting) inSight.add(target.id);
    else inSight.delete(target.id);
  }
  drawCharts(inSight);
}, { rootMargin: "200px" });

function drawCharts(ids) {
  for (const id of ids) {
    if (outdated.delete(id)) charts[id]();
  }
}

function redraw(...ids) {
  ids.forEach((id) => outdated.add(id));
  requestAnimationFrame(() => drawCharts(inSight));
}

const act = {
  sort(key) {
    view.sortBy(key);
    draw();
  },
  toggle(i) {
    if (!view.open.delete(i)) view.open.add(i);
    draw();
  },
  turn(page, button) {
    view.page = page;
    draw();
    by("entries").scrollIntoView({ block: "start" });
    const sameButton = by("pages").querySelector(`button[data-turn="${button}"]:enabled`);
    (sameButton ?? by("pages").querySelector("button:enabled")).focus({ preventScroll: true });
  },
  filter() {
    view.filter();
    draw();
    redraw("planes", "costs", "diagrams");
  },
  /** Open an entry's row and scroll to it, clearing the filters if they hide it. */
  reveal(i) {
    if (!view.show(i)) {
      view.clearFilters();
      fillControls();
      view.show(i);
      redraw("planes", "costs", "diagrams");
    }
    draw();
    rowButton(i).focus();
    rowButton(i).scrollIntoView({ block: "center" });
  },
};

const headButton = (key) =>
  by("entries").querySelector(`button.sort[data-key="${CSS.escape(key)}"]`);

const rowButton = (i) =>
  by("entries").querySelector(`button.open[data-entry="${CSS.escape(board.entries.id[i])}"]`);

/** Redraw the table and restore the focus. */
function draw() {
  const { key, entry } = document.activeElement.closest("#entries button")?.dataset ?? {};
  drawTable(board, view, act);
  drawPages(view, act);
  by("status").textContent = statusText(view);
  if (key !== undefined) headButton(key)?.focus({ preventScroll: true });
  if (entry !== undefined) rowButton(board.index.get(entry))?.focus({ preventScroll: true });
}

function fillControls() {
  by("search").value = view.search;
  by("grouped").checked = view.grouped;
  by("against").value = view.against;
  by("facets").replaceChildren(...FACETS.filter((name) => board.facets[name].length > 1).map(facet));
  fillMetricChoice();
}

/** A collapsible list of check boxes that filters a column; none checked means no filter. */
function facet(name) {
  const checked = view.filters.get(name);
  const summary = h("summary", {}, name, h("span", { class: "chosen" }));
  const showCount = () => { summary.lastChild.textContent = checked.size ? ` ${checked.size} of ${board.facets[name].length}` : ""; };
  const boxes = board.facets[name].map((value) => checkBox(value, checked.has(value), (on) => {
    if (on) checked.add(value);
    else checked.delete(value);
    showCount();
    act.filter();
  }));
  showCount();
  return h("details", { class: "facet", name: "facet", "data-facet": name }, summary, h("fieldset", {}, h("legend", {}, `Show only (${name})`), boxes));
}

function fillMetricChoice() {
  const boxes = board.metricNames.map((name) => checkBox(name, view.metrics.includes(name), (on) => {
    view.metrics = board.metricNames.filter((other) => (other === name ? on : view.metrics.includes(other)));
    if (!on && view.sort?.key === name) view.unsort();
    draw();
  }));
  by("metric-choice").querySelector("fieldset").replaceChildren(h("legend", {}, "Table columns"), ...boxes);
}

const checkBox = (title, checked, change) => {
  const box = h("input", { type: "checkbox", change: () => change(box.checked) });
  box.checked = checked;
  return h("label", {}, box, ` ${title}`);
};

function fillSelect(id, values, chosen) {
  by(id).replaceChildren(...values.map((value) => h("option", { value }, value)));
  by(id).value = chosen;
}

function listen() {
  let typing = 0;
  by("search").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => { view.search = by("search").value; act.filter(); }, 120);
  });
  by("controls").addEventListener("submit", (event) => event.preventDefault());
  by("grouped").addEventListener("change", () => { view.grouped = by("grouped").checked; view.order(); draw(); });
  by("against").addEventListener("change", () => { view.against = by("against").value; draw(); });
  by("reset").addEventListener("click", () => { view.reset(); fillControls(); draw(); redraw("planes", "costs", "diagrams"); });
  by("plane-error").addEventListener("change", () => redraw("planes"));
  by("diagram-calibrator").addEventListener("change", () => redraw("diagrams"));
  for (const id of ["cost-error", "cost-against", "cost"]) by(id).addEventListener("change", () => redraw("costs"));
  for (const id of ["planes", "costs"]) {
    by(id).addEventListener("click", openPoint);
    // Keep Plot from pinning a clicked tip: the next click would only release it.
    by(id).addEventListener("pointerdown", (event) => event.stopPropagation(), { capture: true });
  }
  document.addEventListener("click", (event) => closeFacets(event.target));
  document.addEventListener("focusin", (event) => closeFacets(event.target));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeFacets(null); });
  addEventListener("hashchange", openFromAddress);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTheme);
  addEventListener("beforeprint", () => { drawCharts(Object.keys(charts)); view.onPaper(true); draw(); });
  addEventListener("afterprint", () => { view.onPaper(false); draw(); });
  by("theme").addEventListener("click", changeTheme);
}

/** Open the entry whose tip the chart shows. */
function openPoint(event) {
  const point = event.target.closest("svg")?.value;
  if (point) act.reveal(point.i);
}

function closeFacets(target) {
  for (const facet of document.querySelectorAll("details.facet[open]")) {
    if (target !== null && facet.contains(target)) continue;
    if (facet.contains(document.activeElement)) facet.querySelector("summary").focus();
    facet.open = false;
  }
}

const isDark = () => (document.documentElement.dataset.theme
  ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

function changeTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
}

const nameTheme = () => { by("theme").textContent = isDark() ? "Light theme" : "Dark theme"; };

function openFromAddress() {
  const i = board.index.get(location.hash.slice(1));
  if (i !== undefined) act.reveal(i);
}

function start() {
  const first = board.shown.find((name) => board.errors.includes(name)) ?? board.errors[0];
  fillSelect("plane-error", board.errors, first);
  fillSelect("cost-error", board.errors, first);
  const spent = Object.keys(COSTS).filter((name) => board.entries[COSTS[name]].some((value) => value > 0));
  const costs = spent.length > 0 ? spent : Object.keys(COSTS);
  fillSelect("cost", costs, costs[0]);
  const calibrators = board.facets.calibrator;
  fillSelect("diagram-calibrator", ["all", ...calibrators], calibrators.includes("none") ? "none" : "all");
  fillControls();
  drawLegends(board);
  nameTheme();
  listen();
  draw();
  by("explorer").hidden = false;
  by("opening").hidden = true;
  Object.keys(charts).forEach((id) => sight.observe(by(id)));
  openFromAddress();
}

start();
