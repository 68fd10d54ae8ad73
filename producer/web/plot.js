// Lips against loudness over time, as a drawing that stretches to any width.

import { drawn } from "./elements.js";

const WIDTH = 1000, HEIGHT = 100; // of the drawing's own units
const HEADROOM = 6; // above the highest value of a curve
const MOST_POINTS = 1200; // of one curve; longer ones are averaged down
const TICKS = [0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600];
const MOST_TICKS = 10;

/** The drawing, coloured by the page's style. */
export function plot({ aperture, loudness }) {
  const lips = averaged(aperture), sound = averaged(loudness);
  const quietest = lowest(sound);
  return drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    runs(sound.map((each) => (each === null ? null : each - quietest))).map((run) => drawn("path", { class: "loudness", d: area(run) })),
    gaps(lips),
    runs(lips).map((run) => drawn("path", { class: "aperture", d: line(run) })));
}

/** Marks of a time axis: how far along (0 to 1), and seconds. */
export function ticks(seconds) {
  const step = TICKS.find((each) => seconds / each <= MOST_TICKS) ?? TICKS.at(-1);
  return Array.from({ length: Math.floor(seconds / step) + 1 }, (_, index) => [(index * step) / seconds, index * step]);
}

/** What the colours mean, in words: [class, text]. */
export function legend({ aperture, loudness }) {
  const seen = aperture.filter((each) => each !== null);
  const items = [
    ["aperture", `Lip aperture, up to ${(100 * highest(seen)).toFixed(1)} % of the face's height`],
    ["loudness", `Loudness of the audio, ${lowest(loudness).toFixed(0)} to ${highest(loudness).toFixed(0)} dB`.replaceAll("-", "−")],
  ];
  return seen.length < aperture.length ? [...items, ["gap", "No face"]] : items;
}

function lowest(values) {
  return values.reduce((low, each) => (each === null ? low : Math.min(low, each)), values.find((each) => each !== null) ?? 0);
}

function highest(values) {
  return values.reduce((high, each) => (each === null ? high : Math.max(high, each)), values.find((each) => each !== null) ?? 0);
}

/** At most MOST_POINTS means of neighbours; null only where all of them are. */
function averaged(values) {
  const stride = Math.ceil(values.length / MOST_POINTS) || 1;
  return Array.from({ length: Math.ceil(values.length / stride) }, (_, index) => mean(values.slice(index * stride, (index + 1) * stride)));
}

function mean(values) {
  const known = values.filter((each) => each !== null);
  return known.length ? known.reduce((sum, each) => sum + each, 0) / known.length : null;
}

/** The curve's points, broken at null: from 0 at the bottom to the highest value just under the top. */
function runs(values) {
  const top = highest(values) || 1, step = WIDTH / Math.max(values.length, 1);
  const found = [];
  for (const [index, value] of values.entries()) {
    if (value === null) continue;
    if (index === 0 || values[index - 1] === null) found.push([]);
    found.at(-1).push([(index + 0.5) * step, HEIGHT - ((HEIGHT - HEADROOM) * value) / top]);
  }
  return found;
}

function line(run) {
  const points = run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`);
  return `M${points[0]}h0${points.slice(1).map((each) => `L${each}`).join("")}`; // the step of no length shows a lone point
}

function area(run) {
  return `M${run[0][0].toFixed(1)} ${HEIGHT}${run.map(([x, y]) => `L${x.toFixed(1)} ${y.toFixed(1)}`).join("")}V${HEIGHT}Z`;
}

function gaps(lips) {
  const step = WIDTH / Math.max(lips.length, 1);
  const found = [];
  for (let start = 0; start < lips.length; start += 1) {
    if (lips[start] !== null) continue;
    let end = start;
    while (end < lips.length && lips[end] === null) end += 1;
    found.push(drawn("rect", { class: "gap", x: (start * step).toFixed(1), width: ((end - start) * step).toFixed(1), height: HEIGHT }));
    start = end;
  }
  return found;
}
