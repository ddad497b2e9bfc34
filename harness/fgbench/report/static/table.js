/* The table of entries: sortable headers, one body per comparison, details below open rows. */

const NAME_COLUMNS = [["arm", "arm"], ["calibrator", "calibrator"], ["generator", "generator, bins"]];

/** Draw the table of a view. `act` has the actions of its buttons. */
function drawTable(board, view, act) {
  const table = document.getElementById("entries");
  const names = NAME_COLUMNS.filter(([key]) => key !== "generator" || board.facets.generator.length);
  const columns = names.length + view.metrics.length + (view.sortMetric ? 1 : 0);
  table.querySelectorAll("thead, tbody").forEach((part) => part.remove());
  table.append(head(view, names, act), ...bodies(board, view, names, columns, act));
}

function head(view, names, act) {
  const cells = names.map(([key, title]) => sortingHead(view, key, title, "", act));
  if (view.sortMetric) cells.push(h("th", { scope: "col" }, "rank", h("small", {}, "of its comparison")));
  for (const name of view.metrics) cells.push(sortingHead(view, name, name, "n", act));
  return h("thead", {}, h("tr", {}, cells));
}

function sortingHead(view, key, title, kind, act) {
  const sorted = view.sort?.key === key ? view.sort : null;
  const direction = sorted === null ? "none" : directionOf(view, sorted);
  const arrow = { none: "↕", ascending: "▲", descending: "▼" }[direction];
  return h("th", { scope: "col", class: kind, "aria-sort": direction },
    h("button", { type: "button", class: "sort", "data-key": key, click: () => act.sort(key) },
      title, h("span", { class: "arrow", "aria-hidden": "true" }, ` ${arrow}`)));
}

function directionOf(view, { key, reversed }) {
  const bestIsHigh = view.board.metrics[key]?.higher ?? false;
  return bestIsHigh === reversed ? "ascending" : "descending";
}

function bodies(board, view, names, columns, act) {
  const sections = [];
  let body = null;
  let current = null;
  for (const i of view.visible) {
    const group = board.entries.group[i];
    if (body === null || (view.grouped && group !== current)) {
      body = h("tbody");
      if (view.grouped) body.append(groupRow(board.groups[group], columns));
      sections.push(body);
      current = group;
    }
    const open = view.open.has(i);
    body.append(entryRow(board, view, i, names, open, act));
    if (open) body.append(detailsRow(board, i, columns, act));
  }
  if (sections.length === 0) {
    sections.push(h("tbody", {}, h("tr", {}, h("td", { colspan: columns }, "No entry matches."))));
  }
  return sections;
}

const groupRow = (group, columns) =>
  h("tr", { class: "group" }, h("th", { scope: "rowgroup", colspan: columns }, group.title));

function entryRow(board, view, i, names, open, act) {
  const metric = view.sortMetric;
  const first = metric !== null && board.metric(metric, "best", i) === 1;
  const button = h("button",
    { type: "button", class: "open", "aria-expanded": String(open), "aria-label": board.label(i),
      "data-entry": board.entries.id[i], click: () => act.toggle(i) },
    h("span", { class: "arrow", "aria-hidden": "true" }, open ? "▾ " : "▸ "), board.value("arm", i));
  const cells = [h("th", { scope: "row" }, button, view.grouped ? null : comparisonTitle(board, i))];
  for (const [key] of names.slice(1)) {
    const text = key === "generator" ? board.generation(i) : board.value(key, i);
    cells.push(h("td", {}, text || NOTHING));
  }
  if (metric !== null) cells.push(rankCell(board, metric, i));
  for (const name of view.metrics) cells.push(metricCell(board, view, name, i));
  return h("tr", { class: first ? "entry first" : "entry", "data-id": board.entries.id[i] }, cells);
}

const comparisonTitle = (board, i) =>
  h("small", {}, board.groups[board.entries.group[i]].title);

/** The entry's rank interval, with a bar of its place among all ranks of the comparison. */
function rankCell(board, metric, i) {
  const [best, worst] = [board.metric(metric, "best", i), board.metric(metric, "worst", i)];
  if (best === null) return h("td", {}, NOTHING);
  const text = best === worst ? `${best}` : `${best}–${worst}`;
  const among = board.rankedIn(metric, board.entries.group[i]);
  const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("span"));
  bar.style.setProperty("--from", `${(100 * (best - 1)) / among}%`);
  bar.style.setProperty("--to", `${(100 * worst) / among}%`);
  const tie = best === 1 ? h("small", {}, worst === 1 ? "best" : "≈ best") : null;
  return h("td", { class: "rank", title: `rank ${text} of ${among} in ${metric}` },
    h("span", {}, text, tie === null ? null : " ", tie), bar);
}

function metricCell(board, view, name, i) {
  const [text, range, measured, limit] = ["text", "interval", "measured", "limit"]
    .map((column) => board.metric(name, column, i));
  if (text === null) return h("td", { class: "n" }, NOTHING);
  const mark = board.metric(name, "chance", i)
    ? h("abbr", { title: `a perfectly calibrated classifier has up to ${limit} by chance` }, "°") : null;
  return h("td", { class: "n", "data-v": String(board.metric(name, "value", i)) }, text, mark,
    range === null ? null : h("small", {}, range),
    measured === null ? null : h("small", { class: "measured" }, `measured ${measured}`),
    view.against === "none" ? null : differenceText(board, name, view.against, i));
}

/** The difference from a control, with mark and interval, or null. */
function differenceText(board, name, against, i) {
  const [text, range, word] = ["text", "interval", "word"]
    .map((column) => board.difference(name, against, column, i));
  if (text === null) return null;
  const outcome = word ?? "none";
  return h("small", { class: outcome.replace(" ", "-"), title: outcome },
    h("span", { class: "delta" }, `${text} ${board.marks[outcome]}`), range === null ? "" : ` ${range}`);
}

/** The number of entries shown, and their order. */
function statusText(view) {
  const { board, sort } = view;
  const printed = view.pageSize === ON_PAPER && view.pages > 1 ? `, the first ${ON_PAPER} on paper` : "";
  const many = `${count(view.rows.length)} of ${count(board.size)} entries${printed}`;
  if (sort === null) return `${many}, in the board's order`;
  const kinds = sort.key in board.metrics ? ["best first", "worst first"]
    : sort.key === "arm" ? ["controls first", "controls last"] : ["A to Z", "Z to A"];
  return `${many}, sorted by ${sort.key}, ${kinds[Number(sort.reversed)]}`;
}

function drawPages(view, act) {
  const nav = document.getElementById("pages");
  nav.hidden = view.pages === 1;
  const [first, last] = [view.page * view.pageSize + 1, (view.page + 1) * view.pageSize];
  const turn = (title, page) => h("button",
    { type: "button", "data-turn": title, disabled: page < 0 || page >= view.pages, click: () => act.turn(page, title) }, title);
  nav.replaceChildren(
    turn("First", view.page === 0 ? -1 : 0), turn("Previous", view.page - 1),
    h("span", {}, `rows ${count(first)}–${count(Math.min(last, view.rows.length))} of ${count(view.rows.length)}`),
    turn("Next", view.page + 1), turn("Last", view.page === view.pages - 1 ? -1 : view.pages - 1));
}
