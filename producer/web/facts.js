// What a manifest says, for people: the sync check first, with its honest name.

import { el, facts, name } from "./elements.js";
import { count, decimal, fileName, money, NOTHING, rate, size, span, when } from "./words.js";

const CLEAR = 0.4, WEAK = 0.2; // of the correlation; for words, not for verdicts

/** The figures that a person looks at first. */
export function headline(job, manifest) {
  const { result, cost } = job;
  const taken = manifest ? (new Date(manifest.attempt.ended) - new Date(manifest.attempt.started)) / 1000 : cost?.seconds;
  return facts([
    ["Sync check", ...syncWords(result.sync)],
    ["Frames", count(result.frames), result.frames_without_face ? `${count(result.frames_without_face)} without a face: passed through` : "a face in every one"],
    ["Picture", `${result.width} × ${result.height}`, `${rate(result.fps)} fps, ${span(result.duration_seconds)}`],
    ["Time taken", span(taken), taken ? `${(result.duration_seconds / taken).toFixed(1)} × real time` : ""],
    ["Cost", cost ? money(cost.amount, cost.currency) : NOTHING, cost ? `${span(cost.seconds)} of a worker` : ""],
    ["Drawn by", result.engine, result.device ?? ""],
    ["File", size(result.bytes), "H.264 and AAC"],
  ], { class: "facts headline" });
}

const HONEST = "A smoke alarm, not LSE: does the mouth move with the sound? It does not judge how well single sounds are shaped.";

function syncWords(sync) {
  if (!sync || sync.status !== "ok") return ["Not checked", sync?.reason ?? "no check was made"];
  const { correlation, lag_frames: lag } = sync;
  const verdict = correlation >= CLEAR ? "Moves with the sound" : correlation >= WEAK ? "Moves weakly with the sound" : "Does not move with the sound";
  const step = lag === 0 ? "in step" : `lips ${Math.abs(lag)} ${Math.abs(lag) === 1 ? "frame" : "frames"} ${lag > 0 ? "late" : "early"}`;
  return [verdict, `correlation ${decimal(correlation, 2)}, ${step}. ${HONEST}`];
}

/** Warnings of a result that was made all the same. */
export function warningList(warnings) {
  return warnings.length ? el("ul", { class: "warnings", "aria-label": "Warnings" }, warnings.map((each) => el("li", {}, each.message, " ", el("code", {}, each.code)))) : null;
}

/** Why there is no video, and what helps. */
export function failure(job) {
  const { error, state } = job;
  if (state === "done" || !error) return null;
  const remedy = state === "cancelled" ? "Retry renders it after all." : error.retryable
    ? `Given up after ${job.attempts} ${job.attempts === 1 ? "attempt" : "attempts"}. It was not the input's fault: a retry may help.`
    : "A retry with the same files would end the same way: change the file or the option that the sentence names, and submit again.";
  return el("section", { class: `panel failure ${state}`, "aria-label": "Error" }, el("p", { class: "what" }, name(error.message)), el("p", {}, remedy), el("p", { class: "hint" }, el("code", {}, error.code)));
}

/** What was asked for. */
export function requestFacts({ request, id, batch, row }) {
  const { options } = request;
  const named = Object.entries(options).filter(([, value]) => value !== null).map(([what, value]) => [titled(what), String(value)]);
  return facts([
    ["Video", name(fileName(request.video), { title: request.video })], ["Audio", name(fileName(request.audio), { title: request.audio })],
    ...named, ["Priority", request.priority], ["Time limit", request.time_limit_seconds ? span(request.time_limit_seconds) : null],
    ["Row", name(row)], ["Batch", name(batch, { class: "id" })], ["Job", el("code", { class: "id" }, id)],
  ], { class: "facts wide" });
}

/** The rest of a manifest: what was read, how long each stage took, and by which software. */
export function manifestFacts(manifest) {
  const { attempt, sync_check: sync } = manifest;
  const timings = Object.entries(manifest.timings).map(([stage, seconds]) => [titled(stage), span(seconds)]);
  return el("div", {},
    timings.length ? [el("h3", {}, "Seconds per stage"), el("p", { class: "hint" }, "Stages overlap: their sum may exceed the time taken."), facts(timings)] : null,
    evaluated(manifest.evaluation),
    el("h3", {}, "Inputs as read"), facts([inputFact("Video", manifest.video), inputFact("Audio", manifest.audio)]),
    el("h3", {}, "Attempt"),
    facts([["Number", attempt.number], ["Host", attempt.host], ["Began", when(attempt.started)], ["Ended", when(attempt.ended)],
      sync?.z_score ? ["Sync, against shifted audio", decimal(sync.shifted_correlation, 2), `z-score ${decimal(sync.z_score, 1)}`] : null,
      ...Object.entries(manifest.software)]));
}

/** What was measured where the row asked for it, and how many figures could not be. */
function evaluated(evaluation) {
  if (!evaluation) return null;
  const { sync, metrics } = evaluation;
  const all = Object.values(metrics), there = all.filter((each) => each.value !== null);
  const off = sync.offset_frames && sync.verdict !== "in sync" ? ` by ${Math.abs(sync.offset_frames)} frames` : "";
  const figures = there.map((each) => [each.title, decimal(each.value, 3), [each.unit, each.ci95 ? `95 %: ${each.ci95.map((end) => decimal(end, 3)).join(" to ")}` : "", each.hint].filter(Boolean).join(". ")]);
  const lacking = all.length - there.length;
  return el("section", { "aria-label": "Evaluation" }, el("h3", {}, "Evaluation"), facts([["Sync", sync.verdict + off, sync.by ?? sync.reason], ...figures]),
    lacking ? el("p", { class: "hint" }, `${lacking} ${lacking === 1 ? "figure" : "figures"} could not be measured; the manifest says why.`) : null);
}

/** "Sync mode" of "sync_mode". */
function titled(word) {
  return word[0].toUpperCase() + word.slice(1).replaceAll("_", " ");
}

function inputFact(part, input) {
  if (!input) return null;
  const { facts: seen } = input;
  const words = seen ? [seen.container, seen.video_codec, seen.width ? `${seen.width} × ${seen.height}` : null, seen.fps ? `${rate(seen.fps)} fps` : null, seen.audio_codec,
    seen.sample_rate ? `${count(seen.sample_rate)} Hz` : null, seen.duration_seconds ? span(seen.duration_seconds) : null] : [];
  return [part, size(input.bytes), words.filter(Boolean).join(", ")];
}
