/* The details below an open row: diagram, all metrics, identity and cost. */

function detailsRow(board, i, columns, act) {
  const title = `Details of ${board.label(i)}`;
  return h("tr", { class: "details" }, h("td", { colspan: columns },
    h("div", { class: "entry-details", role: "region", "aria-label": title },
      h("div", {}, reliabilityFigure(board, i), facts(board, i, act)),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Metrics of ${board.label(i)}` },
        allMetrics(board, i)))));
}

function allMetrics(board, i) {
  const names = board.metricNames.filter((name) => board.metric(name, "text", i) !== null);
  const against = board.controlsOf(i);
  const rows = names.map((name) => h("tr", {},
    h("th", { scope: "row" }, name, board.metrics[name].higher ? " ↑" : " ↓"),
    valueCell(board, name, i),
    ...against.map((kind) => h("td", { class: "n" }, differenceText(board, name, kind, i) ?? NOTHING))));
  return h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "metric"),
      h("th", { scope: "col", class: "n" }, "value, 95 % interval"),
      ...against.map((kind) => h("th", { scope: "col", class: "n" }, `from ${kind}`)))),
    h("tbody", {}, rows));
}

function valueCell(board, name, i) {
  const [text, range, measured, limit] = ["text", "interval", "measured", "limit"]
    .map((column) => board.metric(name, column, i));
  return h("td", { class: "n" }, text,
    range === null ? null : h("small", {}, range),
    measured === null ? null : h("small", {}, `measured ${measured}`),
    limit === null ? null : h("small", {}, `by chance up to ${limit}`));
}

function facts(board, i, act) {
  const id = board.entries.id[i];
  const group = board.groups[board.entries.group[i]];
  const list = [
    ["entry", h("a", { href: `#${id}` }, id)],
    ["comparison", group.title],
    ["parts", lines(board.value("parts", i))],
    ["seeds", board.value("seeds", i)],
    ["targets", board.value("selection", i)],
    ["compared with", controls(board, i, act)],
    ["synthetic inputs", synthetic(board, i)],
    ["rejected", board.value("rejected", i)],
    ["added", board.value("added", i)],
    ["cost", costText(board, i)],
    ["undefined metrics", board.value("undefined", i)],
    ["notes", lines(board.value("notes", i))],
    ["published", board.value("source", i)],
    ["environment", board.value("provenance", i)],
    ["bounds", group.note],
    ["texts", samplesLink(board, i)],
  ];
  const present = list.filter(([, value]) => value !== null && value !== "");
  return h("dl", {}, present.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

const lines = (text) => (text ? h("span", { class: "lines" }, text) : null);

function controls(board, i, act) {
  const kinds = board.controlsOf(i);
  if (kinds.length === 0) return null;
  return h("span", {}, kinds.map((kind) => {
    const other = board.control(kind, i);
    return h("a", { href: `#${board.entries.id[other]}`, class: "control",
      click: (event) => { event.preventDefault(); act.reveal(other); } }, board.label(other));
  }));
}

function synthetic(board, i) {
  const requested = board.value("requested", i);
  if (requested === null) return null;
  const near = board.value("near_test", i);
  return `${count(board.value("accepted", i))} of ${count(requested)} accepted`
    + `, ${count(board.value("shortage", i))} missing`
    + (near ? `, ${count(near)} near-duplicates of test texts` : "");
}

function costText(board, i) {
  const seconds = board.value("seconds", i);
  const parts = [];
  if (board.value("requests", i)) parts.push(`${count(board.value("requests", i))} requests`);
  if (board.value("tokens", i)) parts.push(`${count(board.value("tokens", i))} tokens`);
  if (board.value("usd", i)) parts.push(`$${count(board.value("usd", i))}`);
  if (seconds !== null) parts.push(`${count(seconds)} compute seconds, shared stages included`);
  return parts.join(", ");
}

function samplesLink(board, i) {
  const anchor = board.value("samples", i);
  return anchor === null ? null : h("a", { href: `#${anchor}` }, "targeted bins, source and synthetic texts");
}
