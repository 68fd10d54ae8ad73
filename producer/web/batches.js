// The list of batches, the newest first, and what they came to.

import { ask, repeat } from "./client.js";
import { el, keyed, name, say } from "./elements.js";
import { batchHash, count, counted, groupOf, GROUPS, jobHash, money, span, when } from "./words.js";

const LOOK = 3; // seconds between two looks while something moves ...
const REST = 15; // ... and while nothing does
const PAGE = 20;
const SHARES = ["done", "failed", "cancelled", "running", "waiting"]; // from left to right

/** The panel of batches. */
export async function batchList(signal) {
  const list = new BatchList(signal);
  await list.look();
  if (!signal.aborted) repeat(() => list.look(), () => (list.moves ? LOOK : REST), signal).catch((error) => list.fail(error));
  return list.node;
}

class BatchList {
  constructor(signal) {
    this.signal = signal;
    this.offset = 0;
    this.single = el("input", { type: "checkbox", id: "single", checked: true, onchange: () => this.turn(-this.offset) });
    this.body = el("tbody", {});
    this.table = el("table", { class: "batches" },
      el("caption", { class: "unseen" }, "Batches, the newest first"),
      el("thead", {}, el("tr", {}, ["Batch", "Rows", "Video", "Cost"].map((each, at) => el("th", { scope: "col", class: at > 1 ? "number" : null }, each)))),
      this.body);
    this.empty = el("div", { class: "empty", hidden: true },
      el("p", {}, "Nothing was submitted yet."),
      el("p", { class: "hint" }, "Drop a video of a face and the audio it shall speak. What becomes of it is listed here, also what comes by the command line."));
    this.fault = el("p", { class: "fault", role: "alert" });
    this.range = el("span", {});
    this.newer = el("button", { type: "button", onclick: () => this.turn(-PAGE) }, "Newer");
    this.older = el("button", { type: "button", onclick: () => this.turn(PAGE) }, "Older");
    this.pager = el("nav", { class: "pager", "aria-label": "Pages of batches" }, this.newer, this.range, this.older);
    this.node = el("section", { class: "panel", "aria-labelledby": "batches" },
      el("div", { class: "heading" }, el("h2", { id: "batches" }, "Batches"), el("label", { class: "check" }, this.single, " single jobs too")),
      this.fault, this.empty, el("div", { class: "scroll" }, this.table), this.pager);
  }

  turn(by) {
    this.offset = Math.max(0, this.offset + by);
    this.look().catch((error) => this.fail(error));
  }

  async look() {
    const query = new URLSearchParams({ offset: this.offset, limit: PAGE, ...(this.single.checked ? {} : { jobs: "false" }) });
    const { batches, total } = await ask(`/batches?${query}`, { signal: this.signal });
    say(this.fault, "");
    this.moves = batches.some((each) => !each.ended);
    keyed(this.body, batches, (each) => each.id, () => batchRow(), updateRow);
    this.empty.hidden = total > 0;
    this.table.hidden = total === 0;
    this.pager.hidden = total <= PAGE;
    say(this.range, `${count(this.offset + 1)}–${count(this.offset + batches.length)} of ${count(total)}`);
    this.newer.disabled = this.offset === 0;
    this.older.disabled = this.offset + PAGE >= total;
  }

  fail(error) {
    if (error.name === "AbortError") return;
    say(this.fault, error.message);
  }
}

function batchRow() {
  return el("tr", {},
    el("td", {}, el("a", { class: "row-name" }), el("small", {})),
    el("td", {}, shareBar(), el("small", { class: "counts" })),
    el("td", { class: "number" }), el("td", { class: "number" }));
}

function updateRow(node, batch) {
  const [first, rows, length, cost] = node.children;
  const [link, created] = first.children;
  if (!link.hasChildNodes()) {
    link.append(name(titleOf(batch)));
    link.href = batch.rows === 1 && batch.first ? jobHash(batch.first.id, batch.id) : batchHash(batch.id);
    link.title = batch.name;
    say(created, when(batch.created));
  }
  updateShares(rows.firstElementChild, batch.counts, batch.rows);
  say(rows.lastElementChild, countsInWords(batch));
  say(length, batch.totals.minutes ? span(60 * batch.totals.minutes) : "");
  say(cost, batch.totals.cost ? money(batch.totals.cost, batch.totals.currency) : "");
}

/** What a batch is called: one of a job alone by its row, where the server tells it. */
export function titleOf(batch) {
  if (!batch.name.startsWith("job-") || batch.rows !== 1) return batch.name;
  return batch.first?.row ?? `Single job ${batch.name.slice(4, 12)}`;
}

/** "12 rows: 10 done, 1 failed, 1 running"; of a row alone only how it is. */
export function countsInWords(batch) {
  const sums = groupCounts(batch.counts);
  const words = SHARES.filter((group) => sums[group]).map((group) => (batch.rows === 1 ? group : `${count(sums[group])} ${group}`)).join(", ");
  return batch.rows === 1 ? words : `${counted(batch.rows, "row")}: ${words}`;
}

export function groupCounts(counts) {
  const sums = Object.fromEntries(Object.keys(GROUPS).map((group) => [group, 0]));
  for (const [state, number] of Object.entries(counts)) sums[groupOf(state)] += number;
  return sums;
}

/** A bar of the shares of each group; words beside it say the same. */
export function shareBar() {
  return el("div", { class: "shares", "aria-hidden": "true" }, SHARES.map((group) => el("span", { class: group })));
}

export function updateShares(bar, counts, rows) {
  const sums = groupCounts(counts);
  for (const part of bar.children) {
    const number = sums[part.className];
    part.hidden = number === 0;
    part.style.flexGrow = String(number / rows);
  }
}
