// Puts the page together: one state comes in, everything that shows a part of it takes it over.

import { DevicePanel } from "./device.js";
import { Flexibility } from "./flexibility.js";
import { Header } from "./header.js";
import { Live } from "./live.js";
import * as orders from "./orders.js";
import { Populations } from "./populations.js";
import { KeyedTable, make, put } from "./rows.js";
import { download, onChange, token } from "./session.js";
import { notice } from "./dialogs.js";
import { layout } from "./words.js";

document.documentElement.classList.add("has-script");

let state = null;
let drawn = null;

const header = new Header();
const panel = new DevicePanel();
const populations = new Populations();
const flexibility = new Flexibility();
const openDevice = (name) => panel.open(state?.devices.find((device) => device.name === name));

/** Acknowledge and shelve, as far as they fit the alarm. */
function alarmControls(row) {
  const button = (text, act) => {
    const node = make("button", text, { type: "button" });
    node.addEventListener("click", () => act(row()));
    return node;
  };
  const acknowledge = button("Acknowledge", orders.acknowledge);
  const shelve = button("Shelve", (alarm) => (alarm.shelved ? orders.unshelve(alarm) : orders.shelve(alarm)));
  return {
    nodes: [acknowledge, shelve],
    update: (alarm) => {
      acknowledge.setAttribute("aria-label", `Acknowledge ${alarm.key}`);
      if (acknowledge.hidden !== Boolean(alarm.acknowledged)) acknowledge.hidden = Boolean(alarm.acknowledged);
      put(shelve, alarm.shelved ? "Unshelve" : "Shelve");
      shelve.setAttribute("aria-label", `${shelve.textContent} ${alarm.key}`);
    },
  };
}

const tables = layout.tables.map(
  (table) => new KeyedTable(table, { open: openDevice, controls: table.name === "alarms" ? alarmControls : undefined }),
);
const named = (name) => tables.find((table) => table.declared.name === name);

/** Everything that the page shows, from one state. A hidden page waits until it is looked at. */
function draw() {
  if (!state || state === drawn || document.hidden) return;
  drawn = state;
  header.update(state);
  for (const table of tables) table.update(state[table.declared.list]);
  populations.update(state.populations);
  flexibility.update(state.flex);
  panel.update(state.devices);
  countShown();
}

// The search above the devices.
const devices = named("devices");
const search = make("input", "", { type: "search", id: "device-search", autocomplete: "off", spellcheck: "false" });
const kindSelect = make("select", "", { id: "device-filter" });
const FILTERS = [
  ["", "all"], ["trouble", "in trouble"], ["generator", "generators"], ["consumer", "consumers"], ["storage", "stores"],
  ["meter", "meters"],
];
for (const [value, text] of FILTERS) kindSelect.append(make("option", text, { value }));
const count = make("output", "", { for: "device-search device-filter" });
const bar = make("div", "", { class: "filter" });
bar.append(
  make("label", "Search", { for: "device-search" }), search, make("label", "Show", { for: "device-filter" }), kindSelect, count,
);
devices.section.querySelector("h2").after(bar);

function isTrouble(device) {
  return device.up === false || ["shed", "starved", "choked"].includes(device.state) || device.mode !== "auto" ||
    ["bad", "uncertain"].includes(device.quality);
}

function fits(device) {
  const kind = kindSelect.value;
  if (kind === "trouble" ? !isTrouble(device) : kind && device.kind !== kind) return false;
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = [device.name, device.kind, device.state, device.mode, device.tree, device.link].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function countShown() {
  const shown = devices.applyFilter(fits);
  put(count, shown === devices.data.length ? `${shown}` : `${shown} of ${devices.data.length}`);
}
search.addEventListener("input", countShown);
kindSelect.addEventListener("change", countShown);

const saveEvents = make("button", "Save as CSV", { type: "button" });
saveEvents.addEventListener("click", () =>
  download("events.csv", "events.csv").catch((error) => notice(`Not saved: ${error.message}`, "bad")),
);
named("events").section.querySelector("h2").after(saveEvents);

const live = new Live(
  (next) => {
    state = next;
    draw();
  },
  (text, tone) => header.connection(text, tone),
);
let tokenBefore = token();
onChange(() => {
  if (token() !== tokenBefore) live.restart();
  tokenBefore = token();
});
document.addEventListener("visibilitychange", draw);
setInterval(() => header.tick(live.isStale(), live.ageMs(), live.trouble), 1000);
live.run();
