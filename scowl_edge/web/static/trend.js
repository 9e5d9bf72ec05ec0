// A day of one point as a drawing: the mean as a line, lowest to highest as a band, gaps where nothing was known.

import { make } from "./rows.js";
import { measured, timeOf } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 200;
const LEFT = 70;
const BOTTOM = 20;
const TOP = 8;

function draw(tag, attributes, text = "") {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return node;
}

/** Runs of rows without a gap. */
function runs(rows) {
  const found = [];
  let run = [];
  for (const row of rows) {
    if (row.mean === null) {
      if (run.length) found.push(run);
      run = [];
    } else run.push(row);
  }
  if (run.length) found.push(run);
  return found;
}

/** A figure of the rows {time, low, mean, high}, so many pixels wide, with its message in words. */
export function trendFigure(rows, unit, fromMs, toMs, width) {
  const figure = make("figure", "", { class: "trend" });
  const known = rows.filter((row) => row.mean !== null);
  if (!known.length) {
    figure.append(make("figcaption", "Nothing was recorded in these 24 hours."));
    return figure;
  }
  const low = Math.min(...known.map((row) => row.low));
  const high = Math.max(...known.map((row) => row.high));
  const margin = (high - low || Math.abs(high) || 1) * 0.05;
  const [bottom, top] = [low - margin, high + margin];
  const x = (iso) => (LEFT + ((Date.parse(iso) - fromMs) / (toMs - fromMs)) * (width - LEFT)).toFixed(1);
  const y = (value) => (TOP + ((top - value) / (top - bottom)) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const newest = known.at(-1);
  const told = `24 hours until ${timeOf(new Date(toMs).toISOString())} UTC: lowest ${measured(low, unit)}, ` +
    `highest ${measured(high, unit)}, last ${measured(newest.mean, unit)}.`;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": told });
  for (const value of low === high ? [low] : [low, high]) {
    svg.append(draw("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { x: LEFT - 6, y: Number(y(value)) + 4, "text-anchor": "end" }, measured(value, unit)));
  }
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    const at = new Date(fromMs + part * (toMs - fromMs)).toISOString();
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    svg.append(draw("text", { x: x(at), y: HEIGHT - 4, "text-anchor": anchor }, at.slice(11, 16)));
  }
  for (const run of runs(rows)) {
    const highs = run.map((row) => `${x(row.time)},${y(row.high)}`);
    const lows = run.map((row) => `${x(row.time)},${y(row.low)}`).reverse();
    svg.append(draw("polygon", { class: "band", points: [...highs, ...lows].join(" ") }));
    const line = run.map((row) => `${x(row.time)},${y(row.mean)}`);
    // One reading alone would be a line without a length.
    if (line.length === 1) svg.append(draw("circle", { class: "dot", cx: x(run[0].time), cy: y(run[0].mean), r: 2 }));
    else svg.append(draw("polyline", { class: "line", points: line.join(" ") }));
  }
  figure.append(svg, make("figcaption", told));
  return figure;
}
