// Orders: what is asked before one is given, and how it went. Every order says who and why, and may end by itself.

import { daemonNow } from "./clock.js";
import { notice, open } from "./dialogs.js";
import { make } from "./rows.js";
import { Problem, person, keep, post, signIn, token } from "./session.js";
import { actuatorValue, isPower, timeOf } from "./words.js";

const WHILES = [["", "until changed"], ["900", "15 minutes"], ["3600", "1 hour"], ["14400", "4 hours"], ["86400", "1 day"]];
const SHELF_TIMES = [["3600", "1 hour"], ["14400", "4 hours"], ["86400", "1 day"], ["604800", "7 days"]];

const path = (...parts) => parts.map(encodeURIComponent).join("/");
const deviceWords = {
  "auto": "auto: the region steers it",
  "manual": "manual: polled, held by a person",
  "out-of-service": "out of service: polled, never written",
};
const regionWords = {
  "advisory": "advisory: everything is planned, nothing is written",
  "auto": "auto: plans are carried out",
  "hold": "hold: targets stay as they are",
};

function choice(id, pairs, chosen = "") {
  const select = make("select", "", { id });
  for (const [value, text] of pairs) select.append(make("option", text, { value }));
  if (chosen) select.value = chosen;
  return select;
}

/** A number in kW, A or none, as what the API takes; null if it is none. */
function wholeValue(verb, text) {
  const number = Number(text.replace(",", "."));
  if (text.trim() === "" || !Number.isFinite(number)) return null;
  return Math.round(isPower(verb) ? number * 1000 : number);
}

function valueField(actuator) {
  const { verb, low, high, target } = actuator;
  if (verb === "connect") {
    const select = choice("order-value", [["1", "on"], ["0", "off"]], String(target ?? 1));
    return { label: "Value", input: select, hint: "", read: () => Number(select.value) };
  }
  const unit = isPower(verb) ? 1000 : 1;
  const input = make("input", "", { id: "order-value", inputmode: "decimal", required: "", autocomplete: "off" });
  if (target !== null) input.value = String(target / unit);
  return {
    label: isPower(verb) ? "Value in kW" : "Value",
    input,
    hint: `Between ${actuatorValue(verb, low)} and ${actuatorValue(verb, high)}.`,
    read: () => {
      const value = wholeValue(verb, input.value);
      if (value === null) throw new Error(`“${input.value}” is not a number`);
      if (value < low || value > high) {
        throw new Error(`it must be between ${actuatorValue(verb, low)} and ${actuatorValue(verb, high)}`);
      }
      return value;
    },
  };
}

/** Posts an order; asks for the token where the daemon wants one. Returns whether it was taken. */
async function give(where, body, fail) {
  for (;;) {
    try {
      await post(where, body());
      return true;
    } catch (error) {
      const rights = error instanceof Problem && (error.status === 401 || error.kind === "viewer-only");
      if (rights && (await signIn(`${error.message} Orders need an operator's token.`))) continue;
      fail(error.message);
      return false;
    }
  }
}

/**
 * Asks for what an order needs, and gives it.
 * @param {{title: string, text?: string, where: string, field?: object, whiles?: string[][], why?: string,
 *   body?: (value: unknown) => object, done: string}} order
 */
async function ask(order) {
  if (!token() && !(await signIn("Orders need an operator's token."))) return;
  const dialog = document.getElementById("order-dialog");
  const form = make("form");
  const labelled = (text, input) => form.append(make("label", text, { for: input.id }), input);
  form.append(make("h2", order.title, { id: "order-title" }));
  if (order.text) form.append(make("p", order.text));
  if (order.field) {
    labelled(order.field.label, order.field.input);
    if (order.field.hint) {
      form.append(make("p", order.field.hint, { class: "hint", id: "order-hint" }));
      order.field.input.setAttribute("aria-describedby", "order-hint");
    }
  }
  const who = make("input", "", { id: "order-who", required: "", maxlength: "400", autocomplete: "name" });
  who.value = person();
  const why = make("input", "", { id: "order-why", required: "", maxlength: "400", autocomplete: "off" });
  why.value = order.why ?? "";
  labelled("Who", who);
  labelled("Why", why);
  let during = null;
  if (order.whiles !== null) {
    during = choice("order-until", order.whiles ?? WHILES);
    labelled("For how long", during);
  }
  const fault = make("p", "", { class: "fault", role: "alert" });
  const buttons = make("div", "", { class: "buttons" });
  const cancel = make("button", "Cancel", { type: "button" });
  const send = make("button", "Order", { type: "submit", class: "primary" });
  cancel.addEventListener("click", () => dialog.close());
  buttons.append(cancel, send);
  form.append(fault, buttons);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fault.textContent = "";
    let value;
    try {
      value = order.field?.read();
    } catch (error) {
      fault.textContent = `Not sent: ${error.message}.`;
      order.field.input.focus();
      return;
    }
    send.disabled = true;
    keep(who.value.trim(), token());
    const body = () => {
      const seconds = during?.value;
      const until = seconds ? { until: new Date(daemonNow() + seconds * 1000).toISOString() } : {};
      return { ...order.body?.(value), who: who.value.trim(), why: why.value.trim(), ...until };
    };
    const taken = await give(order.where, body, (text) => (fault.textContent = `Not taken: ${text}`));
    send.disabled = false;
    if (taken) {
      dialog.close();
      notice(`Order taken: ${order.done}`);
    }
  });
  dialog.replaceChildren(form);
  open(dialog, order.field?.input ?? (who.value ? why : who));
}

/** HOLD in one action: nothing is asked but, once, who sits here. */
export async function hold() {
  if ((!token() || !person()) && !(await signIn("HOLD freezes all targets. It needs an operator's name and token."))) return;
  const body = () => ({ who: person() || "operator", why: "HOLD on the page" });
  if (await give("region/hold", body, (text) => notice(`HOLD was not taken: ${text}`, "bad"))) {
    notice("Order taken: HOLD. All targets stay as they are.");
  }
}

function modeField(words, chosen) {
  const select = choice("order-value", Object.entries(words), words[chosen] ? chosen : "");
  return { label: "Mode", input: select, hint: "", read: () => select.value };
}

export const regionMode = (present) =>
  ask({
    title: "Mode of the region", where: "region/mode", field: modeField(regionWords, present === "hold" ? "auto" : present),
    body: (mode) => ({ mode }), done: "mode of the region",
  });

export const deviceMode = (device) =>
  ask({
    title: `Mode of ${device.name}`, where: path("devices", device.name, "mode"), field: modeField(deviceWords, device.mode),
    body: (mode) => ({ mode }), done: `mode of ${device.name}`,
  });

export const value = (device, actuator, kind) =>
  ask({
    title: `${kind === "manual" ? "Manual value" : "Override"}: ${actuator.verb} of ${device.name}`,
    text: kind === "manual"
      ? "The device is taken into MANUAL and held at this value."
      : "The device stays in AUTO; this goes before contracts, sheds and economy, behind safety.",
    where: path("devices", device.name, kind), field: valueField(actuator),
    body: (number) => ({ verb: actuator.verb, value: number }), done: `${actuator.verb} of ${device.name}`,
  });

export const takeBack = (device, actuator) =>
  ask({
    title: `Take back: ${actuator.verb} of ${device.name}`,
    text: `${actuatorValue(actuator.verb, actuator.ordered.value)} was ordered by ${actuator.ordered.who}.`,
    where: path("devices", device.name, actuator.ordered.rank === "operator" ? "manual" : "override"), whiles: null,
    body: () => ({ verb: actuator.verb, value: null }), done: `${actuator.verb} of ${device.name} is free again`,
  });

export const veto = (device, active) =>
  ask({
    title: active ? `Veto for ${device.name}` : `End the veto for ${device.name}`,
    text: active ? "It is not made use of: no shed, and a store rests. It is cut off only for a rating, last of its class." : "",
    where: path("devices", device.name, "veto"), whiles: active ? WHILES : null,
    body: () => ({ active }), done: `veto for ${device.name} ${active ? "set" : "ended"}`,
  });

export const acknowledge = (alarm) =>
  ask({
    title: "Acknowledge", text: `${alarm.key}: ${alarm.cause.text}`, where: path("alarms", alarm.key, "acknowledge"),
    whiles: null, why: "seen", done: `${alarm.key} acknowledged`,
  });

export const shelve = (alarm) =>
  ask({
    title: "Shelve", text: `${alarm.key} goes out of sight, and stands all the same.`, whiles: SHELF_TIMES,
    where: path("alarms", alarm.key, "shelve"), done: `${alarm.key} shelved`,
  });

export const unshelve = (alarm) =>
  ask({
    title: "Unshelve", text: `${alarm.key}, shelved until ${timeOf(alarm.shelved.until)} UTC.`,
    where: path("alarms", alarm.key, "unshelve"), whiles: null, why: "look again", done: `${alarm.key} unshelved`,
  });

