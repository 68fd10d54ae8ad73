// How far a job is: its stages in a row, and its frames.

import { announce, el, say } from "./elements.js";
import { count, FINAL, percent, span, STATES } from "./words.js";

const ROAD = ["waiting", "queued", "staging", "preparing", "generating", "uploading", "done"];
const STANDS_AT = { later: "waiting", evaluating: "generating" }; // what is no step of every job
const TOLD_EVERY = 25; // per cent of the frames: a reader of screens is not told of each

/** The stages of a job; `show(job)` whenever it changes. */
export class Stages {
  constructor() {
    this.steps = new Map(ROAD.map((state) => [state, el("li", {}, STATES[state][0])]));
    this.state = el("strong", {});
    this.note = el("span", {});
    this.bar = el("progress", { max: 1, "aria-label": "Frames drawn" });
    this.frames = el("span", { class: "frames" });
    this.told = "";
    this.node = el("section", { class: "panel stages", "aria-label": "Progress" },
      el("ol", {}, [...this.steps.values()]),
      el("p", { class: "now" }, this.state, " ", this.note),
      el("div", { class: "way" }, this.bar, this.frames));
  }

  show(job) {
    const [word, meaning] = STATES[job.state];
    this.node.hidden = FINAL.includes(job.state);
    this.mark(job.state);
    say(this.state, word);
    say(this.note, noteOf(job, meaning));
    this.showFrames(job);
    this.tell(job, word);
  }

  mark(state) {
    const at = ROAD.indexOf(STANDS_AT[state] ?? state);
    for (const [index, step] of [...this.steps.values()].entries()) {
      step.className = index < at ? "past" : index === at ? "here" : "";
      if (index === at) step.setAttribute("aria-current", "step");
      else step.removeAttribute("aria-current");
    }
  }

  showFrames({ frames, total, fps, eta_seconds: eta }) {
    if (total) this.bar.value = frames / total;
    else this.bar.removeAttribute("value");
    const parts = [total ? `${count(frames)} of ${count(total)} frames` : "", fps ? `${fps.toFixed(1)} frames a second` : "", eta ? `${span(eta)} to go` : ""];
    say(this.frames, parts.filter(Boolean).join(", "));
  }

  /** Politely: a new state, and every quarter of the frames. */
  tell(job, word) {
    const quarter = Math.floor(percent(job.frames, job.total) / TOLD_EVERY) * TOLD_EVERY;
    const text = job.state === "generating" ? `${word}, ${quarter} % of the frames` : word;
    if (text !== this.told) announce(text);
    this.told = text;
  }
}

function noteOf(job, meaning) {
  if (job.state !== "later") return meaning;
  return `in ${span(job.later_seconds)}, for attempt ${job.attempts} failed: ${job.error?.message ?? meaning}`;
}
