// A new job: two files or a CSV, options, what it would cost, and the way of the bytes to the server.

import { ask, Problem, upload } from "./client.js";
import { isImage, onDrop, secondsOf, sorted } from "./drop.js";
import { announce, el, name, say } from "./elements.js";
import { columns, optionFields } from "./options.js";
import { tableForm } from "./submittable.js";
import { wave } from "./wave.js";
import { jobHash, money, percent, size, span } from "./words.js";

const WELLS = {
  video: ["Video", "or a still image", "video/*,image/*,.mkv,.ts,.mts,.m2ts"],
  audio: ["Audio", "what the mouth shall say", "audio/*,.m4b,.mka,.opus"],
};

/** The panel of a new job. */
export async function submitForm(signal) {
  const [form, demo] = await Promise.all([columns(signal), ask("/web/demo/pair", { signal })]);
  return new NewJob(form, demo, signal).node;
}

class NewJob {
  constructor({ columns: schemas, maxBytes }, demo, signal) {
    Object.assign(this, { signal, maxBytes });
    this.files = {};
    this.options = optionFields(schemas, () => this.estimate());
    this.fault = el("div", { class: "fault", role: "alert" });
    this.expected = el("p", { class: "estimate", "aria-live": "polite" });
    this.send = el("button", { type: "submit", class: "primary" }, "Generate");
    this.way = el("div", { class: "way", hidden: true });
    this.wells = { video: this.well("video"), audio: this.well("audio") };
    this.pair = this.pairForm(demo);
    this.node = el("section", { class: "panel new-job", "aria-labelledby": "new-job" }, el("h1", { id: "new-job" }, "New job"), this.pair);
    onDrop((files) => this.take(files), signal);
    this.ready();
  }

  pairForm(demo) {
    const many = el("label", { class: "link" }, "choose a CSV",
      el("input", { type: "file", class: "unseen", accept: ".csv,text/csv", onchange: (event) => this.chosen(event) }));
    return el("form", { novalidate: true, onsubmit: (event) => this.submit(event) },
      el("div", { class: "wells" }, this.wells.video.node, this.wells.audio.node),
      el("p", { class: "hint" }, "Drop files anywhere on this page. For many pairs drop a CSV, or ", many, ".",
        demo.video ? [" No files at hand? ", el("button", { type: "button", class: "link", onclick: () => this.tryDemo(demo) }, "Take the demo's pair"), "."] : null),
      this.fault, this.options.node, this.expected, el("p", { class: "actions" }, this.send), this.way);
  }

  well(part) {
    const [title, hint, accept] = WELLS[part];
    const picture = el("div", { class: "picture" });
    const what = el("span", { class: "what" }, hint);
    const input = el("input", { type: "file", class: "unseen", accept, id: `file-${part}`, onchange: (event) => this.chosen(event, part) });
    const node = el("label", { class: `well ${part}`, for: `file-${part}` }, picture, el("span", { class: "which" }, title), what, input);
    return { node, picture, what };
  }

  chosen(event, part) {
    const files = [...event.target.files];
    event.target.value = ""; // the same file may be chosen again
    if (part && files.length === 1 && files[0].size) this.put(part, files[0]);
    else if (files.length) this.take(files);
  }

  take(files) {
    const { parts, fault } = sorted(files);
    this.blame(fault);
    if (fault) return;
    if (parts.table) return this.showTable(parts.table);
    for (const [part, file] of Object.entries(parts)) this.put(part, file);
  }

  showTable(file) {
    this.pair.replaceWith(this.table = tableForm(file, () => { this.table.replaceWith(this.pair); }));
    this.table.querySelector("input").focus();
  }

  async put(part, file) {
    this.blame("");
    if (file.size > this.maxBytes) return this.blame(`${file.name} has ${size(file.size)}; this server takes up to ${size(this.maxBytes)} (max_input_bytes).`);
    const told = { file, seconds: undefined };
    this.files[part] = told;
    const { node, picture, what } = this.wells[part];
    node.classList.add("full");
    what.replaceChildren(name(file.name, { class: "file" }), ` ${size(file.size)}`);
    picture.replaceChildren();
    if (part === "video") this.preview(picture, file);
    else wave(file).then((drawing) => drawing && this.files[part] === told && picture.replaceChildren(drawing));
    announce(`${WELLS[part][0]}: ${file.name}`);
    this.ready();
    told.seconds = isImage(file.name) ? null : await secondsOf(file, this.signal);
    if (this.files[part] !== told) return;
    if (told.seconds !== null) what.append(`, ${span(told.seconds)}`);
    this.estimate();
  }

  preview(picture, file) {
    const address = URL.createObjectURL(file);
    this.signal.addEventListener("abort", () => URL.revokeObjectURL(address));
    const shown = isImage(file.name) ? el("img", { src: address, alt: "" }) : el("video", { src: `${address}#t=0.1`, muted: true, preload: "metadata", tabindex: -1, "aria-hidden": "true" });
    shown.addEventListener("error", () => shown.remove()); // not every browser shows every video; the worker reads it all the same
    picture.replaceChildren(shown);
  }

  async tryDemo(demo) {
    await Promise.all(Object.entries(demo).map(async ([part, address]) => {
      const answer = await fetch(address);
      await this.put(part, new File([await answer.blob()], address.slice(address.lastIndexOf("/") + 1)));
    }));
    this.send.focus();
  }

  ready() {
    this.missing = ["video", "audio"].filter((part) => !this.files[part]);
  }

  async estimate() {
    const seconds = this.files.audio?.seconds;
    if (!seconds) return say(this.expected, this.files.audio ? "This browser cannot read how long the audio is, so there is no estimate." : "");
    const { engine } = this.options.values();
    const query = new URLSearchParams({ seconds, ...(engine ? { engine } : {}) });
    try {
      const answer = await ask(`/estimate?${query}`, { signal: this.signal });
      this.expected.replaceChildren(
        el("strong", {}, `About ${span(answer.worker_seconds)} of one worker, ${money(answer.cost, answer.currency)}`),
        ` for ${span(answer.output_seconds)} of video.`,
        el("details", {}, el("summary", {}, "What that rests on"), el("ul", {}, answer.assumptions.map((each) => el("li", {}, each)))));
    } catch (problem) {
      if (problem instanceof Problem) say(this.expected, `No estimate: ${problem.message}`);
    }
  }

  async submit(event) {
    event.preventDefault();
    if (this.missing.length) {
      this.blame(`There is no ${this.missing.join(" and no ")} yet: drop it anywhere, or choose it above.`);
      return document.getElementById(`file-${this.missing[0]}`).focus();
    }
    if (this.sending) return;
    const invalid = this.pair.querySelector(":invalid:not(fieldset)");
    if (invalid) return this.refuse(invalid);
    this.blame("");
    await this.go();
  }

  refuse(input) {
    input.closest("details")?.setAttribute("open", "");
    this.blame(`${this.pair.querySelector(`label[for="${input.id}"]`).textContent}: ${input.validationMessage}`);
    input.focus();
  }

  async go() {
    const form = new FormData();
    for (const [field, value] of Object.entries(this.options.values())) form.append(field, value);
    for (const part of ["video", "audio"]) form.append(part, this.files[part].file);
    this.sending = upload("/generate", form, (fraction) => this.progress(fraction));
    this.progress(0);
    try {
      const job = await this.sending.answer;
      announce("Submitted");
      location.hash = jobHash(job.id, job.batch);
    } catch (problem) {
      if (problem instanceof Problem) this.blame(problem.message);
      else if (problem.name !== "AbortError") throw problem;
    } finally {
      this.sending = null;
      this.way.hidden = true;
      this.send.disabled = false;
    }
  }

  progress(fraction) {
    if (this.way.hidden) {
      this.bar = el("progress", { max: 1, "aria-label": "Upload" });
      this.share = el("span", {});
      this.way.replaceChildren(this.bar, this.share, el("button", { type: "button", onclick: () => this.sending.stop() }, "Stop"));
      this.way.hidden = false;
      this.send.disabled = true;
    }
    this.bar.value = fraction;
    const done = percent(fraction, 1);
    say(this.share, fraction < 1 ? `Uploading, ${done} %` : "The server puts it into the store");
    if (done % 25 === 0) announce(`Uploaded ${done} %`);
  }

  blame(text) {
    say(this.fault, text ?? "");
  }
}
