// Flexibility: one section, kept up to date with every state; hidden where the site has no part in it.

import { Entries, KeyedTable, make } from "./rows.js";
import { layout } from "./words.js";

export class Flexibility {
  constructor() {
    this.node = document.getElementById("flex");
    this.entries = new Entries(this.node.querySelectorAll("dd[data-key]"), layout.flex.entries);
    this.tables = layout.flex.tables.map(
      (table) => new KeyedTable(table, { place: this.node.querySelector(`[data-list="${table.name}"]`) }),
    );
  }

  /** Shows or hides the section, and the way to it. */
  show(wanted) {
    if (this.node.hidden === !wanted) return;
    this.node.hidden = !wanted;
    const links = [...document.querySelectorAll("nav a")];
    links.find((link) => link.getAttribute("href") === "#flex")?.parentElement.remove();
    if (!wanted) return;
    const item = make("li");
    item.append(make("a", this.node.querySelector("h2").textContent, { href: "#flex" }));
    links.find((link) => link.getAttribute("href") === "#ratings")?.parentElement.before(item);
  }

  update(state) {
    this.show(Boolean(state));
    if (!state) {
      for (const table of this.tables) table.update([]);
      return;
    }
    this.entries.update(state.flex);
    for (const [key, bad] of [["peers_down", state.flex.peers_down], ["site_limit_state", state.flex.site_limit_state === "FAILSAFE"]]) {
      const entry = this.node.querySelector(`[data-entry="${key}"]`);
      const tone = bad ? "bad" : "";
      if (entry.dataset.tone !== tone) entry.dataset.tone = tone;
    }
    for (const table of this.tables) table.update(state[table.declared.list]);
  }
}
