// Populations: a section each, sums with every state; their trees in numbers only while somebody has them open.

import { getJson } from "./session.js";
import { Entries, KeyedTable, make, put } from "./rows.js";
import { layout } from "./words.js";

const AGAIN_MS = 5000;
const BAR_TOP = 1200;
const SVG = "http://www.w3.org/2000/svg";

/** Sets an attribute only if it is another one. */
function set(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** A bar for each tree, side by side; below it stands the same in words. */
class Strip {
  constructor(node) {
    this.node = node;
    this.line = node.querySelector("line");
    this.bars = [...node.querySelectorAll("rect")];
  }

  update(loads) {
    while (this.bars.length > loads.length) this.bars.pop().remove();
    while (this.bars.length < loads.length) {
      const bar = document.createElementNS(SVG, "rect");
      set(bar, "x", String(4 * this.bars.length));
      set(bar, "width", "3");
      this.line.before(bar);
      this.bars.push(bar);
    }
    set(this.node, "viewBox", `0 0 ${4 * loads.length} ${BAR_TOP}`);
    set(this.line, "x2", String(4 * loads.length));
    loads.forEach((load, n) => {
      const height = load === null ? BAR_TOP : Math.min(load, BAR_TOP);
      set(this.bars[n], "y", String(BAR_TOP - height));
      set(this.bars[n], "height", String(height));
      set(this.bars[n], "data-tone", load === null ? "out" : load > 1000 ? "bad" : "");
    });
  }
}

/** All trees of one population, asked for while their table is open. */
class Trees {
  constructor(details, name) {
    this.details = details;
    this.name = name;
    this.fault = details.querySelector(".fault");
    this.table = new KeyedTable(layout.population.trees, { place: details });
    this.askedAt = -Infinity;
    details.addEventListener("toggle", () => this.refresh());
  }

  async refresh() {
    if (!this.details.open || performance.now() - this.askedAt < AGAIN_MS) return;
    this.askedAt = performance.now();
    try {
      const { trees } = await getJson(`populations/${encodeURIComponent(this.name)}`);
      this.table.update(trees);
      put(this.fault, "");
    } catch (error) {
      put(this.fault, `The trees cannot be had: ${error.message}`);
    }
  }
}

class Section {
  constructor(node, name) {
    this.node = node;
    this.entries = new Entries(node.querySelectorAll("dd[data-key]"), layout.population.entries);
    this.strip = new Strip(node.querySelector(".strip"));
    this.words = node.querySelector("figcaption");
    this.tables = layout.population.tables.map(
      (table) => new KeyedTable(table, { place: node.querySelector(`[data-list="${table.name}"]`) }),
    );
    this.trees = new Trees(node.querySelector("details"), name);
  }

  update(row) {
    this.entries.update(row);
    const starved = this.node.querySelector('[data-entry="starved"]');
    set(starved, "data-tone", row.starved ? "bad" : "");
    this.strip.update(row.load_permille);
    put(this.words, row.trees_text);
    for (const table of this.tables) table.update(row[table.declared.list]);
    this.trees.refresh();
  }
}

export class Populations {
  constructor() {
    this.place = document.getElementById("populations");
    this.template = document.getElementById("population-template");
    this.sections = new Map();
    for (const node of this.place.children) {
      this.sections.set(node.dataset.population, new Section(node, node.dataset.population));
    }
  }

  /** A section like the server's, and the way to it. */
  create(name) {
    const node = this.template.content.firstElementChild.cloneNode(true);
    node.dataset.population = name;
    node.id = `population-${name}`;
    for (const each of [node, ...node.querySelectorAll("[id], [aria-labelledby]")]) {
      for (const key of ["id", "aria-labelledby"]) {
        const before = each.getAttribute(key);
        if (before) each.setAttribute(key, before.replace("population--", `population-${name}-`));
      }
    }
    const title = node.querySelector("h2");
    title.textContent = `Population ${name}`;
    this.place.append(node);
    const item = make("li");
    item.append(make("a", title.textContent, { href: `#${node.id}` }));
    const others = document.querySelectorAll('nav a[href^="#population-"], nav a[href="#ladder"]');
    others[others.length - 1].parentElement.after(item);
    return new Section(node, name);
  }

  update(rows) {
    const names = new Set(rows.map((row) => row.name));
    for (const [name, { node }] of this.sections) {
      if (names.has(name)) continue;
      const links = [...document.querySelectorAll("nav a")];
      links.find((link) => link.getAttribute("href") === `#${node.id}`)?.parentElement.remove();
      node.remove();
      this.sections.delete(name);
    }
    for (const row of rows) {
      if (!this.sections.has(row.name)) this.sections.set(row.name, this.create(row.name));
      this.sections.get(row.name).update(row);
    }
  }
}
