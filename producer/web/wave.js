// A sound as a small drawing, so that a person sees which one was dropped.

import { drawn } from "./elements.js";

const BARS = 120;
const RATE = 8000; // samples a second are plenty for a picture
const MOST_BYTES = 24e6; // a longer one takes memory that no picture is worth

/** The drawing, or null where this browser cannot decode the file. */
export async function wave(file) {
  if (file.size > MOST_BYTES) return null;
  try {
    const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
    return drawing(peaks(sound.getChannelData(0)));
  } catch {
    return null; // the worker reads more kinds than browsers do
  }
}

function peaks(samples) {
  const stride = Math.max(1, Math.floor(samples.length / BARS));
  return Array.from({ length: Math.min(BARS, samples.length) }, (_, bar) => {
    let peak = 0;
    for (let at = bar * stride; at < (bar + 1) * stride; at += 1) peak = Math.max(peak, Math.abs(samples[at]));
    return peak;
  });
}

function drawing(heights) {
  const top = Math.max(...heights) || 1;
  const bars = heights.map((height, at) => `M${at + 0.5} ${(50 - (46 * height) / top).toFixed(1)}V${(50.5 + (46 * height) / top).toFixed(1)}`);
  return drawn("svg", { viewBox: `0 0 ${BARS} 100`, preserveAspectRatio: "none", "aria-hidden": "true" },
    drawn("path", { d: bars.join(""), stroke: "currentColor", "stroke-width": "1.4", "vector-effect": "non-scaling-stroke" }));
}
