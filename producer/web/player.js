// Source and result side by side, in step: one control for both. The result leads, for its length is the output's.

import { isImage } from "./drop.js";
import { el, say } from "./elements.js";
import { legend, plot, ticks } from "./plot.js";
import { clock, fpsOf } from "./words.js";

const SPEEDS = [0.25, 0.5, 1, 1.5, 2];
const JUMP = 1; // seconds, with Shift
const LEAP = 0.5; // seconds that a source may be off and still catch up by running up to so much faster or slower
const HASTE = 3; // of its lateness, by how much faster it then runs
const READY = 3; // HTMLMediaElement.HAVE_FUTURE_DATA

/** The player of a job that is done. `curves`: null where the sync was not checked. */
export class Player {
  constructor(job, curves, signal) {
    Object.assign(this, { job, signal });
    this.fps = fpsOf(job.result.fps);
    this.whole = job.result.duration_seconds;
    this.speed = 1;
    this.result = this.video(job.links.stream, "Result");
    this.source = isImage(job.request.video) ? null : this.video(job.links.source, "Source");
    if (this.source) this.source.muted = true;
    this.node = el("section", { class: "panel player", "aria-label": "Source and result", onkeydown: (event) => this.key(event) },
      el("div", { class: "stage" }, this.figure("Source", this.source ?? el("img", { src: job.links.source, alt: "Source" })), this.figure("Result", this.result)),
      this.transport(), this.timeline(curves));
    this.listen();
  }

  video(address, label) {
    return el("video", { src: address, "aria-label": label, preload: "auto", playsinline: true, tabindex: -1 });
  }

  figure(caption, medium) {
    medium.addEventListener("error", () => medium.replaceWith(el("p", { class: "absent" }, `This browser cannot show the ${caption.toLowerCase()}; the worker could.`)));
    return el("figure", {}, medium, el("figcaption", {}, caption));
  }

  transport() {
    const button = (text, label, onclick) => el("button", { type: "button", "aria-label": label, title: label, onclick }, text);
    this.button = button("Play", "Play", () => this.toggle());
    this.button.classList.add("primary", "play");
    this.now = el("span", { class: "clock" });
    const rates = el("select", { id: "speed", onchange: (event) => this.run(Number(event.target.value)) },
      SPEEDS.map((each) => el("option", { value: each, selected: each === 1 }, `${each} ×`)));
    return el("div", { class: "transport" },
      this.button, button("−1", "One frame back", () => this.step(-1)), button("+1", "One frame on", () => this.step(1)), this.now,
      el("label", { class: "speed" }, "Speed", rates),
      el("span", { class: "sound", role: "group", "aria-label": "Sound" }, this.mute("Source", this.source), this.mute("Result", this.result)));
  }

  mute(title, video) {
    if (!video) return null;
    return el("label", { class: "check" }, el("input", { type: "checkbox", checked: !video.muted, onchange: (event) => { video.muted = !event.target.checked; } }), ` ${title} sounds`);
  }

  timeline(curves) {
    this.range = el("input", { type: "range", min: 0, max: this.whole, step: 1 / this.fps, value: 0, "aria-label": "Position", oninput: () => this.seek(Number(this.range.value)) });
    this.playhead = el("div", { class: "playhead" });
    const axis = el("div", { class: "axis", "aria-hidden": "true" }, ticks(this.whole).map(([at, seconds]) => {
      const mark = el("span", {}, clock(seconds, seconds % 1 ? 1 : 0));
      mark.style.left = `${100 * at}%`;
      return mark;
    }));
    return el("div", { class: "timeline" },
      el("div", { class: "plot" }, curves ? plot(curves) : null, this.playhead, this.range), axis,
      el("ul", { class: "legend" }, curves ? legend(curves).map(([kind, text]) => el("li", { class: kind }, text)) : el("li", {}, "Lips and loudness were not compared."),
        el("li", { class: "keys" }, "Space plays, arrows step a frame, with Shift a second")));
  }

  listen() {
    for (const event of ["play", "pause", "ended"]) this.result.addEventListener(event, () => this.changed());
    for (const event of ["seeked", "loadedmetadata", "timeupdate"]) this.result.addEventListener(event, () => this.show());
    for (const event of ["seeked", "loadedmetadata"]) this.source?.addEventListener(event, () => this.show());
    this.result.addEventListener("click", () => this.toggle());
    this.signal.addEventListener("abort", () => [this.result, this.source].forEach((each) => each?.pause()));
    this.show();
  }

  key(event) {
    const isControl = event.target.matches("select, input[type=checkbox], button") && event.key === " ";
    const keys = { " ": () => this.toggle(), ArrowLeft: () => this.go(event, -1), ArrowRight: () => this.go(event, 1), Home: () => this.seek(0), End: () => this.seek(this.whole) };
    if (isControl || event.target.matches("select") || event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  go(event, sign) {
    if (event.shiftKey) this.seek(this.result.currentTime + sign * JUMP);
    else this.step(sign);
  }

  async toggle() {
    if (!this.result.paused) return this.result.pause();
    if (this.result.ended) this.seek(0);
    this.source?.play().catch(() => {}); // both at once; where it does not belong there, `follow` halts it
    await this.result.play().catch((error) => {
      if (error.name !== "AbortError") throw error; // a pause came before the first picture
    });
  }

  run(speed) {
    this.speed = speed;
    this.result.playbackRate = speed;
  }

  step(by) {
    this.result.pause();
    this.seek((this.frame() + by + 0.5) / this.fps); // into the middle of a frame: no rounding shows its neighbour
  }

  seek(seconds) {
    this.result.currentTime = Math.max(0, Math.min(seconds, this.whole - 0.5 / this.fps));
    this.show();
  }

  frame() {
    return Math.min(Math.floor(this.result.currentTime * this.fps + 1e-3), this.job.result.frames - 1);
  }

  changed() {
    const plays = !this.result.paused;
    say(this.button, plays ? "Pause" : "Play");
    this.button.setAttribute("aria-label", plays ? "Pause" : "Play");
    if (plays) this.tick();
    else this.show();
  }

  tick() {
    this.show();
    if (!this.result.paused && !this.signal.aborted) requestAnimationFrame(() => this.tick());
  }

  show() {
    const seconds = Math.min(this.result.currentTime, this.whole);
    this.playhead.style.left = `${(100 * seconds) / this.whole}%`;
    this.range.value = seconds;
    this.range.setAttribute("aria-valuetext", `${seconds.toFixed(1)} of ${this.whole.toFixed(1)} seconds`);
    say(this.now, `${clock(seconds)} / ${clock(this.whole)}  frame ${this.frame() + 1} of ${this.job.result.frames}`);
    this.follow();
  }

  /** Lead the source to where it belongs. Browsers play forward only: where it runs back, it is led by the hand. */
  follow() {
    const { source, result } = this;
    if (!source || source.readyState < 1) return;
    const [where, forward] = placeOf(this.job.request.options, source.duration, result.currentTime);
    const target = Math.min(where, source.duration - 0.5 / this.fps);
    const late = target - source.currentTime;
    const runs = forward && !result.paused && result.readyState >= READY;
    if (runs && source.paused) source.play().catch(() => {}); // a pause that comes between ends the promise
    if (!runs && !source.paused) source.pause();
    if (Math.abs(late) > (runs ? LEAP : 0.5 / this.fps) && !source.seeking) source.currentTime = target;
    source.playbackRate = runs ? this.speed * (1 + Math.max(-LEAP, Math.min(LEAP, HASTE * late))) : this.speed;
  }
}

/** Where the source stands when the result is at `seconds`, and whether it runs forward there. */
export function placeOf({ start, end, sync_mode: mode }, duration, seconds) {
  const last = Math.min(end ?? Infinity, duration);
  const length = Math.max(last - start, 0.04);
  const turn = Math.floor(seconds / length), within = seconds - turn * length;
  if (turn === 0 || mode === "loop") return [start + within, true];
  if (mode === "bounce" || mode === "silence") return turn % 2 ? [last - within, false] : [start + within, true];
  return [last, false];
}
