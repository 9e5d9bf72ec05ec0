// Who sits here: a name and a bearer token, kept by this tab only, and every request that carries it.

import { open } from "./dialogs.js";
import { make } from "./rows.js";

const TOKEN = "scowl-edge.token";
const NAME = "scowl-edge.name";
const TIMEOUT_MS = 10000;

/** A request that was answered with a problem document. */
export class Problem extends Error {
  constructor(status, { detail = `answered ${status}`, errors: faults = [], type = "" }) {
    super(faults.length ? faults.map((fault) => `${fault.field}: ${fault.detail}`).join("; ") : detail);
    this.status = status;
    this.kind = type.split(":").at(-1);
  }
}

export const token = () => sessionStorage.getItem(TOKEN);
export const person = () => sessionStorage.getItem(NAME) ?? "";

const listeners = new Set();
/** Calls back whenever somebody signs in or out. */
export const onChange = (listener) => listeners.add(listener);

export function keep(name, secret) {
  if (secret) sessionStorage.setItem(TOKEN, secret);
  else sessionStorage.removeItem(TOKEN);
  if (name) sessionStorage.setItem(NAME, name);
  listeners.forEach((listener) => listener());
}

export const signOut = () => keep("", "");

export function headers() {
  const secret = token();
  return secret ? { Authorization: `Bearer ${secret}` } : {};
}

/** The answer, if it is a good one; raises Problem. */
export async function checked(answer) {
  if (answer.ok) return answer;
  let body = {};
  try {
    body = await answer.json();
  } catch {
    // Something between here and the daemon answered.
  }
  throw new Problem(answer.status, body);
}

/** GETs something of the API; raises Problem, or what fetch raises. */
export async function get(path, signal = AbortSignal.timeout(TIMEOUT_MS)) {
  return checked(await fetch(`/api/v1/${path}`, { headers: headers(), signal, cache: "no-store" }));
}

export const getJson = async (path) => (await get(path)).json();

/** POSTs an order; raises Problem, or what fetch raises. */
export async function post(path, body) {
  const answer = await fetch(`/api/v1/${path}`, {
    method: "POST",
    headers: { ...headers(), "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  return (await checked(answer)).json();
}

/** Saves a download, with the token where one is needed: a plain link could not carry it. */
export async function download(path, name) {
  const blob = await (await get(path)).blob();
  const link = make("a", "", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/**
 * Asks for name and token; resolves to whether they were given.
 * @param {string} why what needs them
 */
export function signIn(why) {
  const dialog = document.getElementById("token-dialog");
  if (dialog.open) return Promise.resolve(false);
  return new Promise((resolve) => {
    const form = make("form", "", { method: "dialog" });
    const name = make("input", "", { id: "token-name", name: "name", autocomplete: "name", maxlength: "400" });
    name.value = person();
    const secret = make("input", "", {
      id: "token-secret", name: "token", type: "password", autocomplete: "off", required: "", spellcheck: "false",
    });
    const buttons = make("div", "", { class: "buttons" });
    const cancel = make("button", "Cancel", { type: "button" });
    cancel.addEventListener("click", () => dialog.close());
    buttons.append(cancel, make("button", "Sign in", { type: "submit", class: "primary" }));
    form.append(
      make("h2", "Sign in", { id: "token-title" }), make("p", why),
      make("label", "Your name, as it stands in the journal", { for: "token-name" }), name,
      make("label", "Token", { for: "token-secret" }), secret,
      make("p", "Kept by this tab until it is closed.", { class: "hint" }), buttons,
    );
    let given = false;
    form.addEventListener("submit", () => {
      given = true;
      keep(name.value.trim(), secret.value.trim());
    });
    dialog.replaceChildren(form);
    dialog.addEventListener("close", () => resolve(given), { once: true });
    open(dialog, name.value ? secret : name);
  });
}
