// What stands on top: the numbers at a glance, how the connection is, the mode and HOLD, and news of alarms.

import * as orders from "./orders.js";
import { Entries, put } from "./rows.js";
import { onChange, person, signIn, signOut, token } from "./session.js";
import { layout, textOf } from "./words.js";

const THEMES = ["system", "light", "dark"];
const THEME = "scowl-edge.theme";

function entry(key) {
  return document.querySelector(`#vitals [data-entry="${key}"]`);
}

function tone(node, name) {
  if (node.dataset.tone !== name) node.dataset.tone = name;
}

export class Header {
  constructor() {
    this.entries = new Entries(document.querySelectorAll(":is(#vitals, #balance) dd[data-key]"), layout.entries);
    this.region = null;
    this.alarms = null;
    this.shownAt = 0;
    this.buttons();
  }

  buttons() {
    document.getElementById("hold").addEventListener("click", () => {
      if (this.region?.mode === "hold") orders.regionMode("hold");
      else orders.hold();
    });
    document.getElementById("region-mode").addEventListener("click", () => orders.regionMode(this.region?.mode ?? ""));
    const sign = document.getElementById("sign-in");
    sign.addEventListener("click", () => (token() ? signOut() : signIn("For orders: an operator's token.")));
    const named = () => put(sign, token() ? `Sign out ${person()}`.trim() : "Sign in");
    onChange(named);
    named();
    this.theme();
  }

  theme() {
    const button = document.getElementById("theme");
    const root = document.documentElement;
    const say = () => {
      const now = root.dataset.theme ?? "system";
      const words = now === "system" ? "as the system has them" : now;
      button.title = `Colours: ${words}`;
      button.setAttribute("aria-label", button.title);
    };
    button.addEventListener("click", () => {
      const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length];
      if (next === "system") delete root.dataset.theme;
      else root.dataset.theme = next;
      try {
        localStorage.setItem(THEME, next);
      } catch {
        // It holds for this visit only.
      }
      say();
    });
    say();
  }

  update({ region, alarms }) {
    this.region = region;
    this.shownAt = performance.now();
    this.entries.update(region);
    put(document.getElementById("site"), region.site);
    if (document.title !== region.site) document.title = region.site;
    const urgent = ["critical", "high"].includes(region.worst_alarm);
    tone(entry("worst_alarm"), urgent ? "bad" : region.worst_alarm ? "warn" : "");
    tone(entry("consumers"), region.unserved_w ? "bad" : "");
    tone(entry("shed_w"), region.shed_w ? "warn" : "");
    tone(entry("mode"), region.mode === "auto" ? "" : "warn");
    put(document.getElementById("hold"), region.mode === "hold" ? "End HOLD …" : "HOLD");
    document.querySelectorAll("[data-rung]").forEach((rung) => {
      if (rung.dataset.rung === region.rung) rung.setAttribute("aria-current", "step");
      else rung.removeAttribute("aria-current");
    });
    this.news(alarms);
  }

  /** Tells a screen reader what is new, and only that. */
  news(alarms) {
    const now = new Map(alarms.filter((alarm) => !alarm.shelved).map((alarm) => [alarm.key, alarm]));
    if (this.alarms) {
      const fresh = [...now.values()].filter((alarm) => !this.alarms.has(alarm.key));
      const gone = [...this.alarms.keys()].filter((key) => !now.has(key));
      const told = [
        ...fresh.map((alarm) => `New alarm, ${alarm.priority}: ${alarm.key}, ${alarm.cause.text}.`),
        ...(gone.length ? [`No longer standing: ${gone.join(", ")}.`] : []),
      ];
      if (told.length) put(document.getElementById("alarm-news"), told.slice(0, 5).join(" "));
    }
    this.alarms = now;
  }

  connection(text, name) {
    put(document.getElementById("connection-text"), text);
    tone(document.getElementById("connection"), name);
  }

  /** Each second: data grow old even when nobody says so. */
  tick(stale, ageMs, trouble) {
    const banner = document.getElementById("stale");
    if (banner.hidden === stale) banner.hidden = !stale;
    document.body.classList.toggle("is-stale", stale);
    if (!stale) return;
    const since = Number.isFinite(ageMs) ? `since ${new Date(Date.now() - ageMs).toTimeString().slice(0, 8)}` : "yet";
    put(banner, `No news from the daemon ${since}${trouble ? ` (${trouble})` : ""}. What is shown is old.`);
    if (this.region?.oldest_data_s != null && Number.isFinite(ageMs)) {
      const aged = this.region.oldest_data_s + ageMs / 1000;
      put(entry("oldest_data_s").querySelector("dd"), textOf("seconds", aged, this.region));
    }
  }
}
