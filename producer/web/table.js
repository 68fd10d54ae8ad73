// The rows of a batch as a table: sorted by the server, and every row stays in its place while it changes.

import { el, keyed, name, say } from "./elements.js";
import { count, jobHash, percent, span, STATES } from "./words.js";

const COLUMNS = [["row", "Row"], ["state", "State"], ["frames", "Frames"], ["attempts", "Attempts"], ["error", "Error"]];

export class RowTable {
  /** `sort(column)` is told which heading was pressed. */
  constructor(batch, sort) {
    this.batch = batch;
    this.body = el("tbody", {});
    this.heads = new Map(COLUMNS.map(([column, title]) => [column,
      el("th", { scope: "col", class: column === "frames" || column === "attempts" ? "number" : null }, el("button", { type: "button", class: "sort", onclick: () => sort(column) }, title))]));
    this.node = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Rows" },
      el("table", { class: "rows" }, el("caption", { class: "unseen" }, "Rows of the batch"), el("thead", {}, el("tr", {}, [...this.heads.values()])), this.body));
  }

  /** Show these rows, sorted as that says ("-frames": descending; "": as submitted). */
  show(items, sorted) {
    for (const [column, head] of this.heads) head.setAttribute("aria-sort", sorted === column ? "ascending" : sorted === `-${column}` ? "descending" : "none");
    keyed(this.body, items, (item) => item.row, (item) => this.row(item), updateRow);
  }

  row(item) {
    return el("tr", {},
      el("th", { scope: "row" }, el("a", { class: "row-name", href: jobHash(item.id, this.batch), title: item.row }, name(item.row))),
      el("td", {}, el("span", { class: "state" }), el("small", {})),
      el("td", { class: "number" }, el("span", {}), el("meter", { min: 0, max: 100, "aria-label": "Frames done" })),
      el("td", { class: "number" }), el("td", {}, el("code", {})));
  }
}

function updateRow(node, item) {
  const [, state, frames, attempts, error] = node.children;
  const [word, meaning] = STATES[item.state];
  state.firstElementChild.className = `state ${item.state}`;
  say(state.firstElementChild, word);
  say(state.lastElementChild, note(item, meaning));
  const known = item.total > 0, moving = known && item.frames < item.total;
  say(frames.firstElementChild, known ? (moving ? `${count(item.frames)} of ${count(item.total)}` : count(item.total)) : "");
  frames.lastElementChild.hidden = !moving;
  frames.lastElementChild.value = percent(item.frames, item.total);
  say(attempts, item.attempts ? String(item.attempts) : "");
  say(error.firstElementChild, item.error ?? "");
}

function note(item, meaning) {
  if (item.state === "later") return `in ${span(item.later_seconds)}`;
  if (item.state === "generating" && item.eta_seconds) return `${span(item.eta_seconds)} to go`;
  return item.state === "stopping" ? meaning : "";
}
