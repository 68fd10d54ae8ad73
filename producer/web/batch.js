// One batch: what it came to, and its rows by state, text and order. The address holds what is chosen.

import { ask, Problem, repeat, tell } from "./client.js";
import { announce, confirmed, el, facts, name, say } from "./elements.js";
import { countsInWords, groupCounts, shareBar, titleOf, updateShares } from "./batches.js";
import { RowTable } from "./table.js";
import { batchHash, count, counted, GROUPS, money, span, when } from "./words.js";

const PAGE = 100;
const LOOK = 2; // seconds between two looks at a batch that moves; of very many rows it is looked at less often
const REST = 20;
const TYPING = 300; // milliseconds

export async function showBatch(main, id, query, signal) {
  const view = new BatchPage(id, query, signal);
  await view.look();
  if (signal.aborted) return;
  main.replaceChildren(view.node);
  repeat(() => view.look(), () => view.pace(), signal).catch((error) => view.blame(error));
}

class BatchPage {
  constructor(id, query, signal) {
    Object.assign(this, { id, signal });
    this.chosen = { state: query.get("state") ?? "", text: query.get("text") ?? "", sort: query.get("sort") ?? "", offset: Number(query.get("offset")) || 0 };
    this.table = new RowTable(id, (column) => this.order(column));
    this.build();
  }

  build() {
    this.title = el("h1", {});
    this.fault = el("p", { class: "fault", role: "alert" });
    this.away = el("p", { class: "notice", hidden: true }, "Redis is away: only what has ended is known. What runs goes on.");
    this.bar = shareBar();
    this.totals = el("div", {});
    this.cancel = el("button", { type: "button", class: "danger", onclick: () => this.cancelAll() }, "Cancel the batch");
    this.retry = el("button", { type: "button", onclick: () => this.retryAll() }, "Retry failed and cancelled");
    this.search = el("input", { type: "search", id: "text", value: this.chosen.text, dir: "auto", placeholder: "Row, job or error", oninput: () => this.typed() });
    this.groups = new Map(["", ...Object.keys(GROUPS)].map((group) => [group, el("button", { type: "button", class: "group", onclick: () => this.choose({ state: group }) })]));
    this.range = el("span", { "aria-live": "polite" });
    this.before = el("button", { type: "button", onclick: () => this.turn(-PAGE) }, "Previous");
    this.after = el("button", { type: "button", onclick: () => this.turn(PAGE) }, "Next");
    this.none = el("p", { class: "empty", hidden: true }, "No row is like that. ", el("button", { type: "button", class: "link", onclick: () => this.everything() }, "Show all"));
    this.node = el("div", {},
      el("div", { class: "heading" }, el("div", {}, el("p", { class: "crumbs" }, el("a", { href: "#/" }, "Batches")), this.title), el("div", { class: "actions" }, this.retry, this.cancel)),
      this.fault, this.away,
      el("section", { class: "panel totals", "aria-label": "Totals" }, this.bar, this.totals),
      el("section", { class: "panel", "aria-label": "Rows" },
        el("div", { class: "filters" },
          el("div", { class: "groups", role: "group", "aria-label": "Only rows that are" }, [...this.groups.values()]),
          el("label", { class: "unseen", for: "text" }, "Search rows"), this.search),
        this.none, this.table.node,
        el("nav", { class: "pager", "aria-label": "Pages of rows" }, this.before, this.range, this.after)));
  }

  async look() {
    const { state, text, sort, offset } = this.chosen;
    const query = new URLSearchParams({ offset, limit: PAGE, ...(text ? { text } : {}), ...(sort ? { sort } : {}) });
    for (const each of GROUPS[state] ?? []) query.append("state", each);
    const asked = JSON.stringify(this.chosen);
    const batch = await ask(`/batches/${encodeURIComponent(this.id)}?${query}`, { signal: this.signal });
    if (asked === JSON.stringify(this.chosen)) this.show(batch); // else another answer is on its way
  }

  pace() {
    return this.batch.ended ? REST : LOOK + this.batch.rows / 2000;
  }

  show(batch) {
    this.noteEnd(batch);
    this.batch = batch;
    document.title = `${titleOf(batch)} – Dubline`;
    if (!this.title.hasChildNodes()) this.title.append(name(titleOf(batch)));
    this.away.hidden = batch.live;
    updateShares(this.bar, batch.counts, batch.rows);
    this.showTotals(batch);
    this.showGroups(batch);
    this.table.show(batch.items, this.chosen.sort);
    this.showPages(batch);
    this.cancel.hidden = batch.ended;
    this.retry.hidden = batch.totals.failed + batch.totals.cancelled === 0;
  }

  noteEnd(batch) {
    if (this.batch && !this.batch.ended && batch.ended) announce(`The batch has ended: ${countsInWords(batch)}`);
  }

  showTotals({ totals, counts, created, rows }) {
    const { running, waiting } = groupCounts(counts);
    const entries = [["Done", `${count(totals.done)} of ${count(rows)}`], ["Failed", count(totals.failed)], ["Cancelled", count(totals.cancelled)],
      ["Running", count(running)], ["Waiting", count(waiting)],
      ["Video", span(60 * totals.minutes)], ["Cost", money(totals.cost, totals.currency)], ["Submitted", when(created)]];
    this.totals.replaceChildren(facts(entries));
  }

  showGroups(batch) {
    const sums = { "": batch.rows, ...groupCounts(batch.counts) };
    for (const [group, button] of this.groups) {
      say(button, `${group ? group[0].toUpperCase() + group.slice(1) : "All"} ${count(sums[group])}`);
      button.setAttribute("aria-pressed", String(group === this.chosen.state));
      button.hidden = group !== "" && sums[group] === 0 && group !== this.chosen.state;
    }
  }

  showPages({ items, matching }) {
    const { offset } = this.chosen;
    this.none.hidden = items.length > 0;
    this.table.node.hidden = items.length === 0;
    say(this.range, items.length ? `${count(offset + 1)}–${count(offset + items.length)} of ${counted(matching, "row")}` : "");
    this.before.disabled = offset === 0;
    this.after.disabled = offset + PAGE >= matching;
  }

  /** Choose other rows; the address follows, so that a reload and a link show the same. */
  choose(changes) {
    Object.assign(this.chosen, { offset: 0 }, changes);
    history.replaceState(null, "", batchHash(this.id, this.chosen));
    return this.look().catch((error) => this.blame(error));
  }

  order(column) {
    const next = { [column]: `-${column}`, [`-${column}`]: "" };
    this.choose({ sort: next[this.chosen.sort] ?? column });
  }

  turn(by) {
    this.choose({ offset: Math.max(0, this.chosen.offset + by) });
    this.table.node.scrollIntoView({ block: "nearest" });
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.choose({ text: this.search.value.trim() }), TYPING);
  }

  everything() {
    this.search.value = "";
    this.choose({ state: "", text: "" });
    this.search.focus();
  }

  async cancelAll() {
    const left = this.batch.rows - this.batch.totals.done - this.batch.totals.failed - this.batch.totals.cancelled;
    if (!(await confirmed("Cancel the batch?", `${counted(left, "row has", "rows have")} not ended. What waits is not begun, what runs stops within seconds; what has ended keeps its result.`, "Cancel the batch"))) return;
    await this.act(async () => {
      const answer = await tell("DELETE", this.batch.links.cancel);
      announce(`${counted(answer.waiting, "row")} not begun, ${counted(answer.running, "row")} stopping`);
    });
  }

  async retryAll() {
    await this.act(async () => {
      const { requeued } = await tell("POST", this.batch.links.retry);
      announce(`${counted(requeued.length, "row is", "rows are")} rendered after all`);
    });
  }

  async act(work) {
    try {
      await work();
      await this.look();
      this.blame(null);
    } catch (problem) {
      this.blame(problem);
    }
  }

  blame(problem) {
    if (problem?.name === "AbortError") return;
    say(this.fault, problem?.message ?? "");
    if (problem && !(problem instanceof Problem)) throw problem;
  }
}
