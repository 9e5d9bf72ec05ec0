// How values of the API are said to people: the same as the server's words.py says, from the same declarations.

export const layout = JSON.parse(document.getElementById("layout").textContent);

const four = (x) => String(Number(x.toPrecision(4)));
const scaled = (x, unit) => {
  const size = Math.abs(x);
  if (size < 1e3) return `${x} ${unit}`;
  if (size < 1e6) return `${four(x / 1e3)} k${unit}`;
  return size < 1e9 ? `${four(x / 1e6)} M${unit}` : `${four(x / 1e9)} G${unit}`;
};

export const watts = (w) => scaled(w, "W");
export const voltAmperes = (va) => scaled(va, "VA");
export const timeOf = (iso) => iso.slice(0, 19).replace("T", " ");
export const word = (name) => layout.words[name] ?? String(name);
export const rungWords = (name) => layout.rungs[name] ?? String(name);
export const isPower = (verb) => layout.power_verbs.includes(verb);

export function percent(part, whole) {
  if (whole <= 0) return part <= 0 ? "0 %" : "over";
  return `${Math.floor((100 * part) / whole + 0.5)} %`;
}

/** [load, limit, direction] in VA of the phase nearest to its limit; limit -1 where nothing limits. */
export function worstPhase(row) {
  const sides = [
    ...row.load_va.map((load) => [load, row.import_va, "import"]),
    ...row.load_va.map((load) => [-load, row.export_va, "export"]),
  ].filter(([load, limit]) => limit >= 0 && load >= 0);
  if (!sides.length) return [Math.max(...row.load_va.map(Math.abs)), -1, ""];
  const fullness = ([load, limit]) => (limit ? load / limit : Number(load > 0));
  return sides.reduce((worst, side) => (fullness(side) > fullness(worst) ? side : worst));
}

/** How full the bar of a cell is, 0 to 1 and above; null for kinds without a bar. */
export function share(kind, row) {
  let load, safe;
  if (kind === "tree-load") [load, safe] = [row.load_w, row.safe_w];
  else if (kind === "feeder-load") [load, safe] = [row.load_w, row.limit_w];
  else if (kind === "worst-phase") [load, safe] = worstPhase(row);
  else return null;
  return load <= 0 || safe < 0 ? 0 : safe ? load / safe : 2;
}

export function actuatorValue(verb, value) {
  if (value === null || value === undefined) return "–";
  if (verb === "connect") return value ? "on" : "off";
  if (verb === "failsafe_timeout") return `${four(value / 1000)} s`;
  return isPower(verb) ? watts(value) : String(value);
}

function actuators(value) {
  const told = value.filter((a) => a.target !== null);
  const why = (a) => (a.withheld ? ` (${a.withheld.text})` : "");
  return told.map((a) => `${a.verb} ${actuatorValue(a.verb, a.target)}: ${word(a.state)}${why(a)}`).join("; ") || "–";
}

function mode(value, row) {
  const parts = [word(value)];
  if (row.mode_why) parts.push(`by ${row.mode_who}: ${row.mode_why}`);
  if (row.mode_until) parts.push(`until ${timeOf(row.mode_until)}`);
  if (row.veto?.active) parts.push(`veto by ${row.veto.by}: ${row.veto.why}`);
  return parts.join(", ");
}

function starved(value, row) {
  const count = (value.starved ?? 0) + (value.choked ?? 0);
  return count || row.unserved_w ? `${count} (${watts(row.unserved_w)})` : "0";
}

function handling(value, row) {
  const parts = value ? [`acknowledged by ${value.by}: ${value.why}`] : [];
  const shelved = row.shelved;
  if (shelved) parts.push(`shelved by ${shelved.by} until ${timeOf(shelved.until)}: ${shelved.why}`);
  return parts.join("; ") || "new";
}

function data(value, row) {
  if (row.up === null) return "not tried yet";
  if (!row.up) return row.down_cause ? `no answer: ${row.down_cause}` : "no answer";
  return value || "answers";
}

function worstPhaseText(row) {
  const [load, limit, direction] = worstPhase(row);
  if (limit < 0) return `${voltAmperes(load)}, no limit`;
  return `${voltAmperes(load)} of ${voltAmperes(limit)} ${direction} (${percent(load, limit)})`;
}

function uses(value) {
  const told = (value ?? []).slice(0, layout.uses_told).map((use) => `${use.device} ${watts(use.net_w)}`);
  const more = (value ?? []).length - told.length;
  return [...told, ...(more ? [`${more} more`] : [])].join(", ") || "–";
}

function limits(row) {
  const sides = [[row.import_va, "in"], [row.export_va, "out"]].filter(([limit]) => limit >= 0);
  return sides.map(([limit, side]) => `${voltAmperes(limit)} ${side}`).join(", ") || "none";
}

export const count = (n) => n.toLocaleString("en");

function served(value, row) {
  if (row.wanted_w <= 0) return watts(value);
  return `${watts(value)} (${(Math.floor((value * 1e4) / row.wanted_w) / 100).toFixed(2)} %)`;
}

function counts(value) {
  const told = Object.entries(value).filter(([, n]) => n);
  return told.map(([why, n]) => `${word(why)} ${count(n)}`).join(", ") || "none";
}

/** What is promised to be fed back is below nothing, as what is delivered of it. */
function delivered(value, row) {
  const sign = row.promised_w < 0 ? -1 : 1;
  return `${watts(value)} of ${watts(row.promised_w)} (${percent(sign * value, sign * row.promised_w)})`;
}

/** Kinds that have a word for what is not known. */
const knowNothingToo = {
  "worst": (value, row) => {
    const count = Object.values(row.alarms).reduce((sum, n) => sum + n, 0);
    return value ? `${value} (${count})` : "none";
  },
  "data": data,
  "handling": handling,
  "worst-phase": (_, row) => worstPhaseText(row),
  "uses": uses,
  "tree-state": (value, row) => (value ? "without power" : row.fresh ? "fed" : "not measured freshly"),
  "plant-state": (value, row) => (value ? "in service" : "out of service") + (row.fresh ? "" : ", not measured freshly"),
  "meter": (value, row) => (row.metered ? "measured" : "summed up") + (value ? "" : ", not fresh"),
};

/** Kinds that say a dash for it. */
const kinds = {
  "text": String,
  "device": String,
  "word": word,
  "rung": rungWords,
  "watts": watts,
  "time": timeOf,
  "seconds": (value) => `${value.toFixed(1)} s`,
  "age": (value) => `${Math.floor(value + 0.5)} s`,
  "reason": (value) => value.text,
  "list": (value) => value.join(", "),
  "left-alone": (value) => (value ? "stays as left" : "falls back"),
  "actuators": actuators,
  "phases": (value) => value.map(voltAmperes).join(", "),
  "mode": mode,
  "starved": starved,
  "tree-load": (value, row) => `${watts(value)} of ${watts(row.safe_w)} (${percent(value, row.safe_w)})`,
  "limits": (_, row) => limits(row),
  "feeder-load": (value, row) => `${watts(value)} of ${watts(row.limit_w)} (${percent(value, row.limit_w)})`,
  "count": count,
  "class": (value) => (value === 0 ? "0 (protected)" : String(value)),
  "served": served,
  "population": (value, row) => `${count(value)}, ${row.kind}, ${row.compiled ? "compiled" : "plain Python"}`,
  "counts": counts,
  "delivered": delivered,
  "ppm": (value) => `${Math.floor(value / 1e4)} %`,
};

/** One value of an API object in words. */
export function textOf(kind, value, row) {
  if (kind in knowNothingToo) return knowNothingToo[kind](value, row);
  if (value === null || value === undefined || value === "" || (Array.isArray(value) && !value.length)) return "–";
  return kinds[kind](value, row);
}

/** A value of a point with its unit. */
export function measured(value, unit) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  if (unit === "fraction") return `${four(value * 100)} %`;
  if (["W", "Wh", "VA", "var", "V", "A"].includes(unit)) return scaled(Number(four(value)), unit);
  return unit === "1" ? four(value) : `${four(value)} ${unit}`;
}
