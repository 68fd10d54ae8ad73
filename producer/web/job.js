// One job: followed while it moves, played when it is done, explained when it failed.

import { ask, Problem, repeat, tell } from "./client.js";
import { announce, el, name, say } from "./elements.js";
import { failure, headline, manifestFacts, requestFacts, warningList } from "./facts.js";
import { Player } from "./player.js";
import { Stages } from "./stages.js";
import { batchHash, FINAL, STATES } from "./words.js";

const LOOK = 2; // seconds between two looks, where events do not come

export async function showJob(main, id, query, signal) {
  const batch = query.get("batch");
  const address = `/jobs/${encodeURIComponent(id)}${batch ? `?batch=${encodeURIComponent(batch)}` : ""}`;
  const view = new JobPage(await ask(address, { signal }), signal);
  if (signal.aborted) return;
  main.replaceChildren(view.node);
  await view.begin();
}

class JobPage {
  constructor(job, signal) {
    this.signal = signal;
    this.stages = new Stages();
    this.title = el("h1", { tabindex: -1 }, name(job.row));
    this.state = el("span", { class: "state" });
    this.fault = el("p", { class: "fault", role: "alert" });
    this.away = el("p", { class: "notice", hidden: true }, "Redis is away: how far the job is shows when it is back. It goes on meanwhile.");
    this.actions = el("div", { class: "actions" });
    this.made = el("div", { class: "made" });
    this.node = el("article", { class: "job" },
      el("div", { class: "heading" },
        el("div", {}, el("p", { class: "crumbs" }, el("a", { href: "#/" }, "Batches"), job.batch.includes("job-") ? null : [" / ", el("a", { href: batchHash(job.batch) }, name(job.batch))]), this.title, this.state),
        this.actions),
      this.fault, this.away, this.stages.node, this.made);
    document.title = `${job.row} – Dubline`;
    this.job = job;
  }

  async begin() {
    this.show(this.job);
    this.follow();
    document.addEventListener("visibilitychange", () => (document.hidden ? this.events?.close() : this.follow()), { signal: this.signal });
  }

  /** By events, while somebody looks: a browser has six connections for all its tabs. Where they do not come, by asking. */
  follow() {
    this.events?.close();
    if (FINAL.includes(this.job.state) || this.polls) return;
    const events = (this.events = new EventSource(this.job.links.events));
    events.addEventListener("progress", (event) => this.show(JSON.parse(event.data)));
    events.addEventListener("end", (event) => {
      events.close();
      this.show(JSON.parse(event.data));
    });
    events.addEventListener("error", () => {
      events.close();
      this.poll();
    });
    this.signal.addEventListener("abort", () => events.close(), { once: true });
  }

  poll() {
    this.polls = true;
    const step = async () => {
      this.show(await ask(this.job.links.self, { signal: this.signal }));
      return !FINAL.includes(this.job.state);
    };
    repeat(step, LOOK, this.signal).catch((problem) => this.blame(problem)).finally(() => { this.polls = false; });
  }

  show(job) {
    if (this.signal.aborted) return;
    const before = this.shown;
    this.job = job;
    this.shown = job.state;
    this.away.hidden = job.live || FINAL.includes(job.state);
    this.state.className = `state ${job.state}`;
    say(this.state, STATES[job.state][0]);
    this.stages.show(job);
    if (before === job.state) return;
    this.showActions(job);
    this.showMade(job).catch((problem) => this.blame(problem));
  }

  showActions(job) {
    const { links, state } = job;
    const held = document.activeElement && this.actions.contains(document.activeElement);
    this.actions.replaceChildren(...[
      links.stream ? el("a", { class: "button primary", href: links.stream, download: `${job.row}.mp4` }, "Download video") : null,
      links.manifest ? el("button", { type: "button", onclick: () => this.saveManifest() }, "Download manifest") : null,
      state === "failed" || state === "cancelled" ? el("button", { type: "button", class: "retry", onclick: () => this.act("POST", links.retry, "Rendered after all") }, "Retry") : null,
      FINAL.includes(state) || state === "stopping" ? null : el("button", { type: "button", class: "danger", onclick: () => this.act("DELETE", links.cancel, "Cancelling") }, "Cancel"),
    ].filter(Boolean));
    if (held) (this.actions.firstElementChild ?? this.title).focus();
  }

  async showMade(job) {
    if (!FINAL.includes(job.state)) return this.made.replaceChildren(this.section("What was asked for", requestFacts(job), true));
    announce(`${STATES[job.state][0]}: ${STATES[job.state][1]}`);
    const [curves, manifest] = await Promise.all([
      job.result?.sync?.status === "ok" ? ask(job.links.curves, { signal: this.signal }) : null,
      job.links.manifest ? ask(job.links.manifest, { signal: this.signal }) : null,
    ]);
    if (job !== this.job) return;
    this.manifest = manifest;
    const parts = [
      failure(job),
      job.result ? new Player(job, curves, this.signal).node : null,
      job.result ? el("section", { class: "panel", "aria-label": "Result in figures" }, headline(job, manifest), warningList(job.result.warnings)) : null,
      this.section("What was asked for", requestFacts(job), !job.result),
      manifest ? this.section("The manifest", manifestFacts(manifest), false) : null,
      this.logSection(job),
    ];
    this.made.replaceChildren(...parts.filter(Boolean));
  }

  section(title, content, open) {
    return el("details", { class: "panel", open }, el("summary", {}, title), content);
  }

  logSection(job) {
    const body = el("div", {}, el("p", { class: "loading" }, "Loading"));
    const section = this.section("What its attempts said", body, false);
    section.addEventListener("toggle", async () => {
      if (!section.open || section.dataset.loaded) return;
      section.dataset.loaded = "yes";
      try {
        const { attempts } = await ask(job.links.log, { signal: this.signal });
        body.replaceChildren(...(attempts.length ? attempts.flatMap(attemptLog) : [el("p", { class: "hint" }, "No attempt left a log.")]));
      } catch (problem) {
        this.blame(problem);
      }
    });
    return section;
  }

  saveManifest() {
    const address = URL.createObjectURL(new Blob([JSON.stringify(this.manifest, null, 2)], { type: "application/json" }));
    el("a", { href: address, download: `${this.job.row}.json` }).click();
    URL.revokeObjectURL(address);
  }

  async act(method, address, word) {
    try {
      this.blame(null);
      const job = await tell(method, address);
      announce(word);
      this.show(job);
      this.follow();
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

function attemptLog({ number, outcome, log }) {
  return [
    el("h3", {}, `Attempt ${number ?? ""}: ${outcome}`),
    el("pre", { class: "log", tabindex: 0, "aria-label": `Log of attempt ${number ?? ""}` }, log.map((line) => `${line.time}  ${line.level.padEnd(7)}  ${line.message}\n`).join("")),
  ];
}
