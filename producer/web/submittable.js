// A CSV becomes a batch: its name, and every fault of every row before anything is spent.

import { Problem, tell } from "./client.js";
import { announce, el, name, say } from "./elements.js";
import { batchHash, counted, size } from "./words.js";

const SHOWN = 500; // faults; nobody mends more at a sitting

/** The panel of a CSV; `back` shows the other one again. */
export function tableForm(file, back) {
  const fault = el("div", { class: "fault", role: "alert" });
  const faults = el("div", { class: "faults" });
  const field = el("input", { id: "batch-name", type: "text", value: plain(file.name), maxlength: 60, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*", required: true, spellcheck: "false" });
  const send = el("button", { type: "submit", class: "primary" }, "Submit the batch");
  const lines = el("span", {});
  file.text().then((text) => say(lines, `, ${counted(text.split("\n").filter((line) => line.trim()).length - 1, "row")}`));

  async function submit(skip) {
    say(fault, "");
    faults.replaceChildren();
    send.disabled = true;
    try {
      const query = new URLSearchParams({ name: field.value, ...(skip ? { skip_bad: "1" } : {}) });
      done(await tell("POST", `/batches?${query}`, await file.text(), "text/csv"));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      refuse(problem);
    } finally {
      send.disabled = false;
    }
  }

  function done(answer) {
    if (!answer.skipped.length) {
      location.hash = batchHash(answer.id);
      return;
    }
    announce(`${counted(answer.rows, "row")} submitted, ${answer.skipped.length} left out`);
    faults.replaceChildren(
      el("p", {}, `${counted(answer.rows, "row")} submitted. ${counted(answer.skipped.length, "row was", "rows were")} left out: `,
        el("a", { href: batchHash(answer.id) }, "go to the batch")),
      faultTable(answer.skipped));
  }

  function refuse(problem) {
    if (!problem.errors.length) return say(fault, problem.message);
    say(fault, `${counted(problem.errors.length, "fault")}; nothing was submitted.`);
    faults.replaceChildren(faultTable(problem.errors),
      el("p", { class: "actions" }, el("button", { type: "button", onclick: () => submit(true) }, "Submit the good rows all the same")));
  }

  return el("form", { novalidate: true, onsubmit: (event) => {
    event.preventDefault();
    if (field.validity.valid) return submit(false);
    say(fault, "Name of the batch: letters, digits, dots, hyphens and underscores, up to 60; a letter or digit first.");
    field.focus();
  } },
    el("p", {}, name(file.name, { class: "file" }), ` ${size(file.size)}`, lines),
    el("div", { class: "field" }, el("label", { for: "batch-name" }, "Name of the batch"), field),
    el("p", { class: "hint" }, "The same rows under the same name are the same batch: nothing is rendered twice. Rows name their files as s3://bucket/key."),
    fault, faults, el("p", { class: "actions" }, send, el("button", { type: "button", onclick: back }, "Back to one pair")));
}

function faultTable(errors) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Faults by line" },
    el("table", {}, el("thead", {}, el("tr", {}, ["Line", "Fault"].map((each) => el("th", { scope: "col" }, each)))),
      el("tbody", {}, errors.slice(0, SHOWN).map((each) => el("tr", {},
        el("td", { class: "number" }, each.line), el("td", {}, name(each.message), " ", el("code", {}, each.code)))))),
    errors.length > SHOWN ? el("p", { class: "hint" }, `and ${errors.length - SHOWN} more`) : null);
}

/** A file's name as a batch may be called. */
function plain(fileName) {
  const stem = fileName.replace(/\.[^.]*$/, "").normalize("NFKD").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  return stem.slice(0, 60) || "batch";
}
