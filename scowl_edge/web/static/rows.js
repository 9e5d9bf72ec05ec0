// Tables that follow a list: rows are kept by their keys, and only what has changed is touched.

import { share, textOf } from "./words.js";

/** Sets a text only if it is another one. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** An element with a text and attributes. */
export function make(tag, text = "", attributes = {}) {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/** Widens or shortens the bar before a text. */
function fillBar(bar, full) {
  const width = `${Math.round(Math.min(full, 1) * 1000) / 10}%`;
  const inner = bar.firstChild;
  if (inner.style.width !== width) inner.style.width = width;
  const tone = full > 1 ? "bad" : full > 0.9 ? "warn" : "";
  if (bar.dataset.tone !== tone) bar.dataset.tone = tone;
}

class Cell {
  constructor(node, column, actions) {
    this.node = node;
    this.column = column;
    this.shown = node.textContent;
    this.target = node;
    this.bar = null;
    if (share(column.kind, { load_w: 0, safe_w: 0, limit_w: 0, load_va: [0, 0, 0], import_va: -1, export_va: -1 }) !== null) {
      node.replaceChildren(make("span", "", { class: "bar", "aria-hidden": "true" }), make("span"));
      this.bar = node.firstChild;
      this.bar.append(make("span"));
      this.target = node.lastChild;
      this.shown = "";
    } else if (column.kind === "device" && actions.open) {
      const button = make("button", this.shown, { type: "button", class: "link" });
      button.addEventListener("click", () => actions.open(this.shown));
      node.replaceChildren(button);
      this.target = button;
    }
  }

  show(row) {
    const text = textOf(this.column.kind, row[this.column.key], row);
    if (this.bar) fillBar(this.bar, share(this.column.kind, row));
    if (text === this.shown) return;
    this.shown = text;
    this.target.textContent = text;
    this.node.toggleAttribute("data-none", text === "–");
    if (this.column.kind === "device") this.target.disabled = text === "–";
  }
}

export class KeyedTable {
  /**
   * @param {object} table one of layout.tables
   * @param {{open?: (device: string) => void, controls?: (row: object) => HTMLElement[], place?: HTMLElement}} actions
   *   `controls` makes the buttons of a row, once; they get the present row from their `row` property. `place` holds
   *   the table, where that is not the section of its name.
   */
  constructor(table, actions = {}) {
    this.declared = table;
    this.actions = actions;
    this.section = actions.place ?? document.getElementById(table.name);
    const node = this.section.querySelector("table");
    this.body = node.tBodies[0];
    this.scroll = this.section.querySelector(".scroll");
    this.empty = this.section.querySelector(".empty");
    this.lines = new Map();
    this.filter = () => true;
    this.data = [];
    if (actions.controls) node.tHead.rows[0].append(make("th", "Orders", { scope: "col" }));
    for (const line of [...this.body.rows]) {
      if (line.dataset.row === undefined) line.remove();
      else this.lines.set(line.dataset.row, this.adopt(line));
    }
  }

  adopt(line) {
    const cells = this.declared.columns.map((column, n) => new Cell(line.cells[n], column, this.actions));
    return { line, cells, controls: null };
  }

  create(key) {
    const line = make("tr");
    line.dataset.row = key;
    this.declared.columns.forEach((column, n) => {
      const cell = make(n ? "td" : "th", "", n ? {} : { scope: "row" });
      cell.dataset.kind = column.kind;
      cell.dataset.title = column.title;
      line.append(cell);
    });
    return this.adopt(line);
  }

  keyOf(row, seen) {
    if (this.declared.row_key) return String(row[this.declared.row_key]);
    const key = [row.step, row.rung, row.device, row.amount_w].join(" ");
    const count = (seen.get(key) ?? 0) + 1;
    seen.set(key, count);
    return count > 1 ? `${key} ${count}` : key;
  }

  update(rows) {
    const where = this.declared.where;
    const wanted = where ? rows.filter((row) => where[1].includes(row[where[0]])) : rows;
    this.data = wanted;
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    const seen = new Map();
    const keys = wanted.map((row) => this.keyOf(row, seen));
    const staying = new Set(keys);
    for (const [key, { line }] of this.lines) {
      if (!staying.has(key)) {
        line.remove();
        this.lines.delete(key);
      }
    }
    let next = this.body.firstElementChild;
    wanted.forEach((row, n) => {
      let record = this.lines.get(keys[n]);
      if (!record) {
        record = this.create(keys[n]);
        this.lines.set(keys[n], record);
      }
      this.show(record, row);
      if (record.line === next) next = next.nextElementSibling;
      else this.body.insertBefore(record.line, next);
    });
    this.empty.hidden = wanted.length > 0;
    this.scroll.hidden = wanted.length === 0;
    this.applyFilter();
    if (focused && document.activeElement !== focused) {
      // A moved row keeps its focus; that of a row that is gone goes to the table's heading.
      const home = focused.isConnected ? focused : this.section.querySelector("h2, h3, summary");
      home.focus({ preventScroll: true });
    }
  }

  show(record, row) {
    const tone = this.declared.tones.find(([key, value]) => row[key] === value);
    const name = tone ? tone[2] : "";
    if (record.line.dataset.tone !== name) record.line.dataset.tone = name;
    for (const cell of record.cells) cell.show(row);
    record.row = row;
    if (!this.actions.controls) return;
    if (!record.controls) {
      record.controls = this.actions.controls(() => record.row);
      const cell = make("td", "", { class: "orders" });
      cell.append(...record.controls.nodes);
      record.line.append(cell);
    }
    record.controls.update?.(row);
  }

  /** Shows only rows that fit; `fits` gets the row's object. */
  applyFilter(fits = this.filter) {
    this.filter = fits;
    let shown = 0;
    for (const { line, row } of this.lines.values()) {
      const hidden = row !== undefined && !fits(row);
      if (line.hidden !== hidden) line.hidden = hidden;
      if (!hidden) shown += 1;
    }
    return shown;
  }
}

/** Entries of a list of terms, by their keys. */
export class Entries {
  constructor(nodes, entries) {
    this.nodes = [...nodes];
    const declared = new Map(entries.map((entry) => [entry.key, entry]));
    this.kinds = this.nodes.map((node) => declared.get(node.dataset.key).kind);
  }

  update(row) {
    this.nodes.forEach((node, n) => put(node, textOf(this.kinds[n], row[node.dataset.key], row)));
  }
}
