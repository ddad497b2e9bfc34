/* The board as columns of values. An entry is an index into them. */

const FACETS = ["dataset", "classifier", "loss", "generator", "bins", "dose", "arm", "calibrator", "protocol"];
const NOTHING = "–";
const ON_SCREEN = 100;
const ON_PAPER = 500;

/** Decompress the columns embedded in the page. */
async function readBoard() {
  const encoded = document.getElementById("board-data").textContent.trim();
  const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Board(await new Response(stream).json());
}

class Board {
  constructor({ arms, shown, marks, groups, entries, metrics, diagrams, fidelities }) {
    Object.assign(this, { arms, shown, marks, groups, entries, metrics, fidelities });
    this.size = entries.id.length;
    this.metricNames = Object.keys(metrics);
    this.errors = this.metricNames.filter((name) => !metrics[name].higher);
    this.drawn = new Map(diagrams.drawn.map((diagram) => [`${diagram.entry}/${diagram.bins}`, diagram]));
    this.undrawn = new Map();
    for (const [problem, indices] of Object.entries(diagrams.problems)) {
      for (const i of indices) this.undrawn.set(i, problem);
    }
    this.facets = Object.fromEntries(FACETS.map((name) => [name, this.#distinct(name)]));
    this.ranked = new Map();
    this.index = new Map(entries.id.map((id, i) => [id, i]));
  }

  /** The value of an entry in a column of `entries`, or null. */
  value(name, i) {
    const column = this.entries[name];
    return Array.isArray(column) ? column[i] : column.texts[column.of[i]];
  }

  /** What a column of a metric (value, low, high, best, worst, or a text) has for an entry, or null. */
  metric(name, column, i) {
    return this.metrics[name]?.[column]?.[i] ?? null;
  }

  /** The index of an entry's control, or null. */
  control(kind, i) {
    return this.entries.controls[kind]?.[i] ?? null;
  }

  /** The controls that an entry is compared with. */
  controlsOf(i) {
    return Object.keys(this.entries.controls).filter((kind) => this.control(kind, i) !== null);
  }

  /** A difference from a control (delta, low, high, word, text, interval), or null. */
  difference(name, against, column, i) {
    return this.metrics[name]?.versus[against]?.[column]?.[i] ?? null;
  }

  /** The number of entries of a comparison that have a metric. */
  rankedIn(name, group) {
    const key = `${name}/${group}`;
    if (!this.ranked.has(key)) {
      const { value } = this.metrics[name];
      this.ranked.set(key, this.entries.group.filter((g, i) => g === group && value[i] !== null).length);
    }
    return this.ranked.get(key);
  }

  /** The name of an entry within its comparison. */
  label(i) {
    return [this.value("arm", i), this.generation(i), this.value("calibrator", i)]
      .filter(Boolean)
      .join(" · ");
  }

  generation(i) {
    const generator = this.value("generator", i);
    if (generator === null) return "";
    const bins = this.value("bins", i);
    const settings = this.value("settings", i);
    return [generator, bins === null ? null : `${bins} bins`, settings].filter(Boolean).join(", ");
  }

  /** The diagram of an entry with this number of bins, or undefined. */
  diagram(i, bins) {
    return this.drawn.get(`${i}/${bins}`);
  }

  /** The position of each entry in the order of a column of names, numbers within names by value. */
  rank(name) {
    const texts = this.entries.id.map((_, i) => this.#name(name, i));
    const position = new Map(this.#inOrder(name, new Set(texts)).map((text, k) => [text, k]));
    return texts.map((text) => position.get(text));
  }

  #name(name, i) {
    return name === "generator" ? this.generation(i) : this.value(name, i);
  }

  #inOrder(name, texts) {
    const collator = new Intl.Collator(undefined, { numeric: true });
    return [...texts].sort((a, b) => (name === "arm"
      ? this.arms.indexOf(a) - this.arms.indexOf(b)
      : collator.compare(a, b)));
  }

  #distinct(name) {
    const values = new Set(this.entries.id.map((_, i) => this.value(name, i)));
    values.delete(null);
    return this.#inOrder(name, [...values].map(String));
  }
}

/** The visible part of a board: filters, order, columns, page. */
class View {
  constructor(board) {
    this.board = board;
    this.pageSize = ON_SCREEN;
    this.reset();
  }

  reset() {
    this.sort = null;
    this.grouped = true;
    this.against = Object.keys(this.board.entries.controls)[0] ?? "none";
    this.metrics = [...this.board.shown];
    this.open = new Set();
    this.clearFilters();
  }

  clearFilters() {
    this.filters = new Map(FACETS.map((name) => [name, new Set()]));
    this.search = "";
    this.filter();
  }

  /** Filter the entries, then order them. */
  filter() {
    this.matching = this.#filtered();
    this.order();
  }

  /** Order the matching entries: by comparison if grouped, then by the sort column. */
  order() {
    const groups = this.board.entries.group;
    const cost = this.sort ? this.#costs() : null;
    this.page = 0;
    this.rows = [...this.matching].sort((a, b) => {
      if (this.grouped && groups[a] !== groups[b]) return groups[a] - groups[b];
      if (cost !== null && cost[a] !== cost[b]) return cost[a] < cost[b] ? -1 : 1;
      return a - b;
    });
  }

  /** Switch to the next order of a column: best first, worst first, the board's order. */
  sortBy(key) {
    if (this.sort?.key !== key) this.sort = { key, reversed: false };
    else this.sort = this.sort.reversed ? null : { key, reversed: true };
    this.order();
  }

  unsort() {
    this.sort = null;
    this.order();
  }

  /** Show the first `ON_PAPER` rows for printing; restore the page of the screen afterwards. */
  onPaper(on) {
    this.pageSize = on ? ON_PAPER : ON_SCREEN;
    if (on) this.pageOnScreen = this.page;
    this.page = on ? 0 : this.pageOnScreen;
  }

  get sortMetric() {
    return this.sort !== null && this.sort.key in this.board.metrics ? this.sort.key : null;
  }

  get pages() {
    return Math.max(1, Math.ceil(this.rows.length / this.pageSize));
  }

  get visible() {
    return this.rows.slice(this.page * this.pageSize, (this.page + 1) * this.pageSize);
  }

  /** Go to the page of an entry and open it; return false if it is filtered out. */
  show(i) {
    const row = this.rows.indexOf(i);
    if (row < 0) return false;
    this.page = Math.floor(row / this.pageSize);
    this.open.add(i);
    return true;
  }

  /** The matching entries by comparison, in the board's order. */
  comparisons() {
    const comparisons = new Map();
    for (const i of this.matching) {
      const group = this.board.entries.group[i];
      if (!comparisons.has(group)) comparisons.set(group, []);
      comparisons.get(group).push(i);
    }
    return [...comparisons].map(([group, entries]) => ({ group, entries }));
  }

  #filtered() {
    const { board } = this;
    const words = this.search.toLowerCase().split(/\s+/).filter(Boolean);
    const active = [...this.filters].filter(([, values]) => values.size > 0);
    const matching = [];
    for (let i = 0; i < board.size; i += 1) {
      if (active.every(([name, values]) => this.#passes(name, values, i)) && this.#has(words, i)) {
        matching.push(i);
      }
    }
    return matching;
  }

  /** Whether an entry passes a filter. Entries without generator (and bins and dose) always do: they are controls. */
  #passes(name, values, i) {
    if (["generator", "bins", "dose"].includes(name) && this.board.value("generator", i) === null) {
      return true;
    }
    return values.has(String(this.board.value(name, i)));
  }

  #has(words, i) {
    if (words.length === 0) return true;
    const { board } = this;
    const text = [board.groups[board.entries.group[i]].title, board.label(i), board.entries.id[i]]
      .join(" ")
      .toLowerCase();
    return words.every((word) => text.includes(word));
  }

  #costs() {
    const { key, reversed } = this.sort;
    const metric = this.board.metrics[key];
    if (metric === undefined) {
      const rank = this.board.rank(key);
      return reversed ? rank.map((position) => -position) : rank;
    }
    const sign = metric.higher === reversed ? 1 : -1;
    return metric.value.map((value) => (value === null ? Infinity : sign * value));
  }
}
