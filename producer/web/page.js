// START HERE: what is shown at which address, and what holds for all of it: the key, the theme, a server that is gone.

import { ask, pause, Problem, session, wire } from "./client.js";
import { el, say } from "./elements.js";
import { showBatch } from "./batch.js";
import { showHome } from "./home.js";
import { showJob } from "./job.js";

const VIEWS = [
  [/^#\/batch\/([^/?]+)$/, showBatch],
  [/^#\/job\/([^/?]+)$/, showJob],
  [/^(#\/?)?$/, showHome],
];
const COME_BACK = 3; // seconds between two looks for a server that is gone

const find = (id) => document.getElementById(id);
const main = find("main");
let leaving = new AbortController();
let where = "";

/** Show what the address says. Whatever an earlier view still does ends with its signal. */
async function show(settled = true) {
  const [path, query = ""] = location.hash.split("?");
  const view = VIEWS.find(([pattern]) => pattern.test(path));
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const moved = settled && where !== "" && where !== path;
  where = path;
  document.querySelector("[data-nav]").toggleAttribute("aria-current", view?.[1] === showHome);
  main.replaceChildren(el("p", { class: "loading" }, "Loading"));
  try {
    if (!view) throw new Problem({ code: "not_found", detail: "This page has nothing at that address. Its beginning lists your batches." });
    await view[1](main, decodeURIComponent(path.match(view[0])[1] ?? ""), new URLSearchParams(query), signal);
    if (moved && !signal.aborted) main.focus({ preventScroll: true });
  } catch (problem) {
    if (!signal.aborted) fail(problem);
  }
}

function fail(problem) {
  if (!(problem instanceof Problem)) {
    main.replaceChildren(trouble("This page has a defect", String(problem), "defect"));
    throw problem;
  }
  if (problem.status === 401) return main.replaceChildren(trouble("Signed out", "Sign in with a key to see your jobs.", problem.code));
  main.replaceChildren(trouble(problem.status === 404 ? "Not found" : "That did not work", problem.message, problem.code));
}

function trouble(title, text, code) {
  document.title = `${title} – Dubline`;
  return el("section", { class: "trouble panel" },
    el("h1", {}, title), el("p", {}, text), el("p", { class: "hint" }, el("code", {}, code)),
    el("p", { class: "actions" }, el("button", { type: "button", onclick: () => show() }, "Try again"), el("a", { class: "button", href: "#/" }, "Go to the beginning")));
}

// A server that is gone: one line that says so, and looks until it is back.

let isGone = false;

function banner(text) {
  say(find("banner"), text);
  find("banner").hidden = !text;
}

async function lookForServer() {
  if (isGone) return;
  isGone = true;
  while (isGone) {
    banner("The server does not answer. What you see is of before; this page goes on by itself when it is back.");
    await pause(COME_BACK);
    try {
      isGone = !(await fetch("/health/live", { cache: "no-store" })).ok;
    } catch {
      isGone = true; // that is what is being waited for
    }
  }
  banner("");
  if (main.querySelector(".trouble, .loading")) show();
}

wire.addEventListener("unreachable", lookForServer);
wire.addEventListener("reachable", () => { if (!isGone) banner(""); });
wire.addEventListener("slow", ({ detail }) => banner(`Too many requests for this key; going on in ${detail} s.`));

// The key.

const dialog = find("sign-in");

function askForKey(fault = "") {
  say(find("key-fault"), fault);
  if (!dialog.open) dialog.showModal();
}

wire.addEventListener("key-needed", ({ detail }) => {
  if (detail !== session.key) return; // an answer to a key of before
  const wrong = session.key ? "The server does not know that key (any more)." : "";
  session.forget();
  showSession();
  askForKey(wrong);
});

dialog.addEventListener("submit", () => {
  session.keep(find("key").value.trim());
  find("key").value = "";
  showSession();
  show();
});
dialog.addEventListener("cancel", (event) => event.preventDefault()); // nothing is to be seen without a key

find("sign-out").addEventListener("click", () => {
  session.forget();
  showSession();
  leaving.abort();
  main.replaceChildren(trouble("Signed out", "Sign in with a key to see your jobs.", "unauthenticated"));
  askForKey();
});

function showSession() {
  find("sign-out").hidden = !session.key;
}

// Theme, version, and the address.

const theme = find("theme");
theme.value = document.documentElement.dataset.theme ?? "";
theme.addEventListener("change", () => {
  if (theme.value) document.documentElement.dataset.theme = theme.value;
  else delete document.documentElement.dataset.theme;
  localStorage.setItem("dubline-theme", theme.value);
});

find("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is for views
  main.focus();
});

async function begin() {
  showSession();
  const about = await ask("/version").catch(() => null);
  if (about) say(find("version"), `Dubline ${about.version}`);
  if (about?.key_needed && !session.key) return askForKey();
  await show(false);
}

window.addEventListener("hashchange", () => show());
begin();
