/* The charts of the page. Those below the table show the entries that match the filters. */

const MAX_COMPARISONS = 6;
const MAX_DIAGRAMS = 24;
const STYLE = { fontSize: "12px" };
const SIZE = { width: 560, height: 350, marginLeft: 56, marginBottom: 42, marginTop: 28, style: STYLE };
const short = (value) => (value < 1000 ? String(Number(value.toPrecision(3))) : d3.format("~s")(value));

/** Columns of costs by their names on the page. */
const COSTS = {
  "US dollars": "usd",
  "tokens": "tokens",
  "requests": "requests",
  "synthetic inputs": "accepted",
  "compute seconds": "seconds",
};

/** A color for each arm of the board; they repeat after the eleventh. */
const armColor = (board) => ({
  domain: board.facets.arm, range: board.facets.arm.map((_, k) => `var(--arm-${k % 11})`),
});

const SHAPES = ["circle", "diamond", "triangle", "square", "star", "cross", "wye", "hexagon"];
const OTHERS = "other calibrators";

/** A shape for each calibrator, a circle for `none`; calibrators beyond the last shape share it. */
const symbols = (board) => {
  const names = d3.sort(board.facets.calibrator, (name) => name !== "none");
  const domain = names.length > SHAPES.length ? [...names.slice(0, SHAPES.length - 1), OTHERS] : names;
  return { domain, range: SHAPES.slice(0, domain.length) };
};

const shapeOf = (board, i) => {
  const name = board.value("calibrator", i);
  return symbols(board).domain.includes(name) ? name : OTHERS;
};

/** Draw one chart per comparison, of the entries that have both coordinates. */
function drawComparisons(section, board, view, { point, describe, draw, problem }) {
  const shown = view.comparisons()
    .map(({ group, entries }) => ({
      title: board.groups[group].title,
      points: entries.map(point).filter(({ x, y }) => x !== null && y !== null),
    }))
    .filter(({ points }) => points.length > 0);
  const figures = shown.slice(0, MAX_COMPARISONS)
    .map(({ title, points }) => chartFigure(title, describe(points), draw(points)));
  fillFigures(section, figures, shown.length, problem);
}

/** Draw accuracy against an error, with the Pareto front. */
function drawPlanes(board, view, error) {
  drawComparisons("planes", board, view, {
    point: (i) => planePoint(board, error, i),
    describe: (points) => planeText(error, points),
    draw: (points) => plane(board, error, points),
    problem: "No entry has both an accuracy and this error.",
  });
}

const planePoint = (board, error, i) => ({
  i,
  label: board.label(i),
  arm: board.value("arm", i),
  calibrator: shapeOf(board, i),
  x: board.metric("accuracy", "value", i),
  y: board.metric(error, "value", i),
  text: [board.metric("accuracy", "text", i), board.metric(error, "text", i)],
  x1: board.metric("accuracy", "low", i), x2: board.metric("accuracy", "high", i),
  y1: board.metric(error, "low", i), y2: board.metric(error, "high", i),
});

function plane(board, error, points) {
  const front = paretoFront(points);
  const dots = { x: "x", y: "y", fill: "arm", stroke: "arm", symbol: "calibrator", r: 4.5 };
  return Plot.plot({
    ...SIZE,
    x: { label: "accuracy →", nice: true, ticks: 5, tickFormat: ".2f", ...aroundOne(points.flatMap((p) => [p.x, p.x1, p.x2])) },
    y: { label: `↑ ${error} (lower is better)`, nice: true, ticks: 6, grid: true },
    color: armColor(board),
    symbol: symbols(board),
    marks: [
      Plot.ruleY(points.filter((p) => p.x1 !== null), { y: "y", x1: "x1", x2: "x2", stroke: "arm", strokeOpacity: 0.3 }),
      Plot.ruleX(points.filter((p) => p.y1 !== null), { x: "x", y1: "y1", y2: "y2", stroke: "arm", strokeOpacity: 0.3 }),
      Plot.line(front, { x: "x", y: "y", curve: "step-before", stroke: "currentColor", strokeDasharray: "3,3" }),
      Plot.dot(points, dots),
      Plot.dot(front, { x: "x", y: "y", r: 8, stroke: "currentColor", strokeWidth: 1 }),
      Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: (p) =>
        `${p.label}\naccuracy ${p.text[0]}, ${error} ${p.text[1]}` })),
    ],
  });
}

/** A domain around a single value, which has no extent of its own. */
function aroundOne(values) {
  const [low, high] = d3.extent(values.filter((value) => value !== null));
  return low === high ? { domain: [Math.max(0, low - 0.02), Math.min(1, high + 0.02)] } : {};
}

/** The points that no other point beats in one coordinate and matches in the other, by x. */
function paretoFront(points) {
  const front = [];
  for (const point of [...points].sort((a, b) => b.x - a.x || a.y - b.y)) {
    const last = front.at(-1);
    const ties = last !== undefined && last.x === point.x && last.y === point.y;
    if (last === undefined || point.y < last.y || ties) front.push(point);
  }
  return front.reverse();
}

function planeText(error, points) {
  const front = paretoFront(points).map((p) => `${p.label} (${p.text.join(", ")})`);
  return `Accuracy against ${error} of ${points.length} entries. On the Pareto front: ${front.join("; ")}.`;
}

/** Draw cost against gain: the reduction of an error relative to its control. */
function drawCosts(board, view, error, against, cost) {
  const axes = { error, against, cost };
  drawComparisons("costs", board, view, {
    point: (i) => costPoint(board, axes, i),
    describe: (points) => costsText(axes, points),
    draw: (points) => costs(board, axes, points),
    problem: "No entry has both a cost and a difference from this control.",
  });
}

function costPoint(board, { error, against, cost }, i) {
  const [delta, low, high] = ["delta", "low", "high"].map((end) => board.difference(error, against, end, i));
  const unspent = cost === "synthetic inputs" && board.value("generator", i) === null;
  return {
    i,
    label: board.label(i),
    arm: board.value("arm", i),
    calibrator: shapeOf(board, i),
    x: unspent ? 0 : board.value(COSTS[cost], i),
    y: delta === null ? null : -delta,
    y1: low === null ? null : -high,
    y2: low === null ? null : -low,
    significant: ["better", "worse"].includes(board.difference(error, against, "word", i)),
    text: ["text", "interval"].map((column) => board.difference(error, against, column, i)).filter(Boolean).join(" "),
  };
}

function costs(board, { error, against, cost }, points) {
  const spent = points.map((p) => p.x).filter((x) => x > 0);
  const isWide = spent.length > 0 && Math.max(...spent) > 100 * Math.min(...spent);
  return Plot.plot({
    ...SIZE,
    x: { label: `${cost} →`, ...(isWide ? { type: "symlog", constant: Math.max(Math.min(...spent), Math.max(...spent) / 1e4) } : { nice: true }), ticks: 4, tickFormat: short, zero: true },
    y: { label: `↑ reduction of ${error} vs. ${against}`, nice: true, grid: true, ticks: 6 },
    color: armColor(board),
    symbol: symbols(board),
    marks: [
      Plot.ruleY([0], { stroke: "currentColor", strokeOpacity: 0.6 }),
      Plot.ruleX(points.filter((p) => p.y1 !== null), { x: "x", y1: "y1", y2: "y2", stroke: "arm", strokeOpacity: 0.35 }),
      Plot.dot(points.filter((p) => !p.significant), { x: "x", y: "y", stroke: "arm", fill: "var(--page)", symbol: "calibrator", r: 4.5 }),
      Plot.dot(points.filter((p) => p.significant), { x: "x", y: "y", stroke: "arm", fill: "arm", symbol: "calibrator", r: 4.5 }),
      Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: (p) =>
        `${p.label}\n${gainText(p, cost)}${p.significant ? "" : "\nnot separable from zero"}` })),
    ],
  });
}

function costsText({ error, against, cost }, points) {
  const significant = points.filter((p) => p.significant).map((p) => `${p.label} (${gainText(p, cost)})`);
  return `${cost} against the gain in ${error} over ${against} of ${points.length} entries. `
    + `Separable from zero: ${significant.join("; ") || "none"}.`;
}

const gainText = (p, cost) => `${count(p.x)} ${cost}, difference ${p.text}`;

/** Draw reliability diagrams of the matching entries, up to `MAX_DIAGRAMS`. */
function drawDiagrams(board, view, calibrator) {
  const chosen = view.matching.filter((i) => calibrator === "all" || board.value("calibrator", i) === calibrator);
  const drawable = chosen.filter((i) => board.diagram(i, binsOf(board, i)) !== undefined);
  const figures = drawable.slice(0, MAX_DIAGRAMS).map((i) => reliabilityFigure(board, i, true));
  const reason = chosen.map((i) => board.undrawn.get(i)).find(Boolean) ?? "";
  const missing = chosen.length - drawable.length;
  fillFigures("diagrams", figures, drawable.length, reason,
    missing > 0 && drawable.length > 0 ? `Entries without a diagram: ${count(missing)} (${reason.replace(/\.$/, "")}).` : "");
}

const binsOf = (board, i) => board.value("bins", i) ?? 15;

/** An entry's reliability diagram and bin counts, with its baseline's for comparison. */
function reliabilityFigure(board, i, titled = false) {
  const bins = binsOf(board, i);
  const after = board.diagram(i, bins);
  if (after === undefined) {
    return h("p", { class: "note" }, `No reliability diagram: ${board.undrawn.get(i) ?? "no predictions."}`);
  }
  const control = board.control("baseline", i);
  const before = control === null ? undefined : board.diagram(control, bins);
  const isBaseline = board.value("arm", i) === "baseline" && board.value("calibrator", i) === "none";
  const color = isBaseline ? "var(--before)" : "var(--after)";
  const threshold = board.value("threshold", i);
  const group = board.groups[board.entries.group[i]].title.split(" · ")[0];
  const title = titled ? `${group} · ${board.label(i)}` : "Reliability on the test split";
  return reliabilityChart(title, board.label(i), after, before, { color, threshold });
}

/** A reliability diagram above its bin counts; `before` is another one to compare with, or undefined. */
function reliabilityChart(title, label, after, before, { color, threshold }) {
  const figure = h("div", {}, curves(after, before, { color, threshold }), barsOf(after, before, color));
  return chartFigure(title, reliabilityText(label, after, before), figure);
}

const DIAGRAM = { width: 260, marginLeft: 40, marginRight: 10 };

function curves(after, before, { color, threshold }) {
  const marks = [];
  if (threshold !== null) {
    marks.push(Plot.areaY([0, 1], { x: (x) => x, y1: (x) => x - threshold, y2: (x) => x + threshold,
      fill: "var(--band)", clip: true }));
  }
  marks.push(Plot.line([[0, 0], [1, 1]], { stroke: "var(--faint)", strokeDasharray: "4,3" }));
  const points = pointsOf(after);
  marks.push(band(points, color));
  if (before !== undefined) marks.push(...curve(pointsOf(before), "var(--before)", 1.2, 2.2));
  marks.push(...curve(points, color, 1.8, 3), readings(points));
  return Plot.plot({
    ...DIAGRAM, height: 230, marginTop: 12, marginBottom: 6,
    x: { domain: [0, 1], axis: null },
    y: { domain: [0, 1], ticks: [0, 0.5, 1], tickFormat: String, label: "observed frequency", labelAnchor: "center", labelArrow: "none" },
    marks,
  });
}

function curve(points, color, width, radius) {
  return [
    Plot.line(points, { x: "x", y: "y", stroke: color, strokeWidth: width }),
    Plot.dot(points, { x: "x", y: "y", r: radius, fill: color }),
  ];
}

const band = (points, color) =>
  Plot.rect(points, { x1: "x1", x2: "x2", y1: "low", y2: "high", fill: color, fillOpacity: 0.2, insetLeft: 0.5, insetRight: 0.5 });

const readings = (points) => Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: (p) => p.text }));

const pointsOf = (diagram) => diagram.bin.map((bin, k) => ({
  x: diagram.confidence[k], y: diagram.outcome[k], n: diagram.count[k],
  low: diagram.low[k], high: diagram.high[k], text: diagram.text[k],
  x1: bin / diagram.bins, x2: (bin + 1) / diagram.bins,
}));

/** Bars of the number of predictions per bin. */
function barsOf(after, before, color) {
  const bars = { x1: "x1", x2: "x2", y: "n" };
  const marks = [Plot.rectY(pointsOf(after), { ...bars, inset: 0.5, fill: color })];
  if (before !== undefined) marks.push(Plot.rectY(pointsOf(before), { ...bars, stroke: "var(--before)", fill: "none" }));
  return Plot.plot({
    ...DIAGRAM, height: 84, marginTop: 4, marginBottom: 30,
    x: { domain: [0, 1], ticks: [0, 0.5, 1], tickFormat: String, label: after.axis, labelAnchor: "center", labelArrow: "none" },
    y: { ticks: 2, tickFormat: short, label: "n", labelAnchor: "center", labelArrow: "none" },
    marks,
  });
}

function reliabilityText(label, after, before) {
  const summary = (diagram) => {
    const gaps = pointsOf(diagram).map((p) => p.y - p.x);
    const [under, over] = [gaps.filter((gap) => gap > 0.03), gaps.filter((gap) => gap < -0.03)];
    return `of ${gaps.length} non-empty bins, ${over.length} are more than 0.03 below the diagonal, ${under.length} above it`;
  };
  const outside = pointsOf(after).filter((p) => p.x < p.low || p.x > p.high).length;
  return `Reliability diagram of ${label}: ${summary(after)}; the bands of ${outside} exclude the diagonal.`
    + (before === undefined ? "" : ` Its baseline: ${summary(before)}.`);
}

/** Draw target against judged probability of synthetic texts, one chart per judge. */
function drawFidelities(id, fidelities) {
  document.querySelector(`#${id} .panels`).replaceChildren(...fidelities.map((fidelity) => {
    const figure = chartFigure(fidelity.judge, fidelityText(fidelity), fidelityChart(fidelity));
    figure.querySelector("figcaption").append(
      h("small", {}, `mean absolute error ${fidelity.text}, n = ${count(fidelity.n)}`));
    return figure;
  }));
}

function fidelityChart({ axis, dots, means }) {
  const points = means.target.map((x, k) => ({ x, y: means.judged[k], text: means.text[k], n: means.n[k] }));
  const scale = { domain: [0, 1], ticks: 5, grid: true, labelAnchor: "center", labelArrow: "none" };
  return Plot.plot({
    width: 334, height: 300, marginTop: 12, marginLeft: 50, marginBottom: 40, style: STYLE,
    x: { ...scale, label: `target ${axis}` },
    y: { ...scale, label: `judged ${axis}` },
    marks: [
      Plot.line([[0, 0], [1, 1]], { stroke: "var(--faint)", strokeDasharray: "4,3" }),
      Plot.dot(dots.target.map((x, k) => [x, dots.judged[k]]), { r: 2.2, fill: "var(--before)", fillOpacity: 0.35 }),
      Plot.line(points, { x: "x", y: "y", stroke: "var(--after)", strokeWidth: 2 }),
      Plot.dot(points, { x: "x", y: "y", r: 4, fill: "var(--after)", stroke: "var(--page)" }),
      Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: (p) =>
        `mean target → mean judged ${p.text}\nn = ${count(p.n)}` })),
    ],
  });
}

function fidelityText({ judge, axis, n, text, means }) {
  return `Target ${axis} against that judged by the ${judge}, of ${count(n)} texts: mean absolute error ${text}. `
    + `Mean target → mean judged, by tenth of the target: ${means.text.join("; ")}.`;
}

/** A titled chart. Screen readers get one image with a description instead of its marks. */
function chartFigure(title, description, chart) {
  for (const mark of chart.querySelectorAll("g[aria-label]")) {
    mark.dataset.mark = mark.getAttribute("aria-label");
    mark.removeAttribute("aria-label");
  }
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", description);
  return h("figure", { class: "chart" }, h("figcaption", {}, title), chart);
}

/** Insert figures into a section, with a note on what is omitted or why there are none. */
function fillFigures(section, figures, available, problem = "", missing = "") {
  const box = document.getElementById(section);
  const note = available > figures.length
    ? `Showing the first ${figures.length} of ${available}. Filter the entries to see others.`
    : figures.length === 0 ? `Nothing to draw. ${problem}` : "";
  box.querySelector(".panels").replaceChildren(...figures);
  box.querySelector(".left-out").textContent = [note, missing].filter(Boolean).join(" ");
}

function drawLegends(board) {
  for (const box of document.querySelectorAll(".legend")) {
    box.replaceChildren(Plot.legend({ color: { type: "categorical", ...armColor(board) }, style: STYLE }),
      Plot.legend({ symbol: symbols(board), fill: "currentColor", style: STYLE }));
  }
}
