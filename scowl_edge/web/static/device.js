// One device in full: its points and their day, its actuators, and what may be ordered of it.

import { daemonNow } from "./clock.js";
import { notice, open } from "./dialogs.js";
import * as orders from "./orders.js";
import { make, put } from "./rows.js";
import { download, getJson } from "./session.js";
import { trendFigure } from "./trend.js";
import { actuatorValue, measured, textOf, timeOf, watts, word } from "./words.js";

const LOOK_AGAIN_MS = 1000;
const TREND_ROWS = 288;
const POINT_HEADS = ["Point", "Value", "Quality", "Age", "24 hours"];
const ACTUATOR_HEADS = ["Command", "Target", "Read back", "State", "May be", "Ordered by", "Why", "Writes", "Orders"];

/** A table with a caption and heads; rows are put into its body. */
function table(caption, heads) {
  const node = make("table");
  const head = make("tr");
  head.append(...heads.map((text) => make("th", text, { scope: "col" })));
  const top = make("thead");
  top.append(head);
  node.append(make("caption", caption), top, make("tbody"));
  return node;
}

/** A row whose cells are set by their heads' places; kept and found by its key. */
function line(body, key, heads, build = () => {}) {
  let row = [...body.rows].find((each) => each.dataset.row === key);
  if (!row) {
    row = make("tr");
    row.dataset.row = key;
    heads.forEach((title, n) => {
      const cell = make(n ? "td" : "th", "", n ? {} : { scope: "row" });
      cell.dataset.title = title;
      row.append(cell);
    });
    build(row);
    body.append(row);
  }
  return row;
}

function button(text, act, label = "") {
  const node = make("button", text, { type: "button" });
  if (label) node.setAttribute("aria-label", label);
  node.addEventListener("click", act);
  return node;
}

function writes({ writes_today: today, writes_total: total, daily_budget: budget }) {
  return `${today}${budget ? ` of ${budget}` : ""} today, ${total} in all`;
}

function ageOf(point) {
  if (!point.receive_time) return "–";
  return `${Math.max(0, Math.round((daemonNow() - Date.parse(point.receive_time)) / 1000))} s`;
}

export class DevicePanel {
  constructor() {
    this.dialog = document.getElementById("device-panel");
    this.device = null;
    this.looking = 0;
    this.dialog.addEventListener("close", () => {
      this.device = null;
      clearTimeout(this.looking);
    });
  }

  /** Opens it for a device of the present state. */
  open(device) {
    if (!device) return;
    this.device = device;
    this.build();
    this.update([device]);
    open(this.dialog, this.close);
    this.look(device.name);
  }

  build() {
    const { name } = this.device;
    const head = make("div", "", { class: "panel-head" });
    this.close = button("Close", () => this.dialog.close());
    head.append(make("h2", name, { id: "device-title" }), this.close);
    this.facts = make("p", "", { class: "facts" });
    this.why = make("p");
    const buttons = make("div", "", { class: "buttons start" });
    this.vetoButton = button("Veto …", () => orders.veto(this.device, !this.device.veto.active));
    buttons.append(button("Mode …", () => orders.deviceMode(this.device)), this.vetoButton);
    this.actuators = table(`Commands to ${name}`, ACTUATOR_HEADS);
    this.points = table(`Points of ${name}`, POINT_HEADS);
    this.fault = make("p", "", { class: "fault" });
    this.trend = make("div", "", { class: "trend-place", "aria-live": "off" });
    this.dialog.replaceChildren(
      head, this.facts, this.why, buttons, this.actuators, this.points, this.fault, this.trend,
    );
  }

  /** Takes over the state that the page just got. */
  update(devices) {
    if (!this.device) return;
    const device = devices.find((each) => each.name === this.device.name);
    if (!device) return;
    this.device = device;
    const of = (kind, key) => textOf(kind, device[key], device);
    const facts = [
      device.kind, of("word", "state"), of("watts", "power_w"), of("data", "quality"), `mode ${of("mode", "mode")}`,
      device.tree ? `tree ${device.tree}` : "", device.kind === "consumer" ? `class ${device.load_class}` : "",
      device.shed_w ? `gives up ${watts(device.shed_w)}` : "", device.unserved_w ? `${watts(device.unserved_w)} not served` : "",
      `link ${device.link}`,
    ];
    put(this.facts, facts.filter(Boolean).join(" · "));
    put(this.why, device.why ? `Why: ${device.why.text}` : "");
    put(this.vetoButton, device.veto.active ? "End the veto …" : "Veto …");
    this.actuators.hidden = device.actuators.length === 0;
    for (const actuator of device.actuators) this.showActuator(actuator);
  }

  showActuator(actuator) {
    const now = () => this.device.actuators.find((each) => each.verb === actuator.verb);
    const row = line(this.actuators.tBodies[0], actuator.verb, ACTUATOR_HEADS, (made) => {
      made.cells[8].className = "orders";
      made.cells[8].append(
        button("Manual …", () => orders.value(this.device, now(), "manual"), `Manual value for ${actuator.verb}`),
        button("Override …", () => orders.value(this.device, now(), "override"), `Override ${actuator.verb}`),
        button("Take back …", () => orders.takeBack(this.device, now()), `Take back the order for ${actuator.verb}`),
      );
    });
    const { verb, ordered } = actuator;
    const bounds = `${actuatorValue(verb, actuator.low)} to ${actuatorValue(verb, actuator.high)}`;
    const orderedText = ordered
      ? `${actuatorValue(verb, ordered.value)} by ${ordered.who} (${ordered.rank})` +
        `${ordered.until ? ` until ${timeOf(ordered.until)}` : ""}: ${ordered.why}`
      : "–";
    const texts = [
      verb, actuatorValue(verb, actuator.target), actuatorValue(verb, actuator.confirmed), word(actuator.state), bounds,
      orderedText, actuator.withheld?.text ?? actuator.reason?.text ?? "–", writes(actuator),
    ];
    texts.forEach((text, n) => put(row.cells[n], text));
    row.cells[8].lastChild.hidden = !ordered;
  }

  /** Reads the points again and again while the panel is open. */
  async look(name) {
    if (this.device?.name !== name) return;
    try {
      const { points } = await getJson(`devices/${encodeURIComponent(name)}/points`);
      if (this.device?.name !== name) return;
      put(this.fault, "");
      for (const point of points) this.showPoint(point);
    } catch (error) {
      put(this.fault, `The points cannot be read: ${error.message}`);
    }
    if (this.device?.name === name) this.looking = setTimeout(() => this.look(name), LOOK_AGAIN_MS);
  }

  showPoint(point) {
    const row = line(this.points.tBodies[0], point.point, POINT_HEADS, (made) => {
      if (point.access.includes("r") && point.type !== "string" && typeof point.value !== "string") {
        made.cells[4].append(button("Trend", () => this.showTrend(point), `Trend of ${point.point}`));
      }
    });
    const why = [point.reason?.replaceAll("_", " "), point.detail].filter(Boolean).join(", ");
    const quality = why ? `${point.quality}: ${why}` : point.quality;
    [point.point, measured(point.value, point.unit), quality, ageOf(point)].forEach((text, n) => put(row.cells[n], text));
    row.dataset.tone = point.quality === "good" ? "" : "warn";
  }

  async showTrend(point) {
    const place = `devices/${encodeURIComponent(point.device)}/points/${encodeURIComponent(point.point)}`;
    const title = make("h3", `${point.point}, last 24 hours`);
    this.trend.replaceChildren(title, make("p", "Reading …"));
    let body;
    try {
      const answer = await getJson(`${place}/trend?points=${TREND_ROWS}`);
      body = trendFigure(answer.rows, point.unit, Date.parse(answer.begin), Date.parse(answer.end), this.trend.clientWidth);
    } catch (error) {
      body = make("p", `There is no trend: ${error.message}`, { class: "fault" });
    }
    const save = button("Save as CSV", () =>
      download(`${place}/trend.csv`, `${point.device}-${point.point}.csv`).catch((error) =>
        notice(`Not saved: ${error.message}`, "bad"),
      ),
    );
    this.trend.replaceChildren(title, body, save);
    this.trend.scrollIntoView({ block: "nearest" });
  }
}
