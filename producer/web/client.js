// The API, as this page asks it: with the key, with patience, and with every problem as a sentence.

const KEY = "dubline-key";
const RATE_PATIENCE = 60; // seconds that a question waits by itself when the server says "too many"

/** Tells of what holds for the whole page: `unreachable`, `reachable`, `key-needed` (detail: the key that was refused), `slow` (detail: seconds). */
export const wire = new EventTarget();

/** Why a request was not done. `message` is the server's sentence, or ours where there was no server. */
export class Problem extends Error {
  constructor({ status = 0, code = "unreachable", detail, errors = [], after = null }) {
    super(detail);
    Object.assign(this, { status, code, errors, after });
  }
}

export const session = {
  get key() { return sessionStorage.getItem(KEY); },
  keep(key) { sessionStorage.setItem(KEY, key); },
  forget() { sessionStorage.removeItem(KEY); },
};

/** What a GET answers, as JSON. Where the server says "too many requests", it waits as long as it is told. */
export async function ask(address, { signal } = {}) {
  for (;;) {
    try {
      return await sent(address, { signal });
    } catch (problem) {
      if (problem.code !== "too_many_requests" || problem.after > RATE_PATIENCE) throw problem;
      wire.dispatchEvent(new CustomEvent("slow", { detail: problem.after }));
      await pause(problem.after, signal);
    }
  }
}

/** The answer to a POST or DELETE. `body`: text with its type, or an object that becomes JSON. */
export function tell(method, address, body, type = "application/json") {
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  return sent(address, { method, body: text, headers: text === undefined ? {} : { "Content-Type": type } });
}

async function sent(address, { method = "GET", body, headers = {}, signal }) {
  const { key } = session;
  let answer;
  try {
    answer = await fetch(address, { method, body, headers: { ...headers, ...authorization() }, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  wire.dispatchEvent(new Event("reachable"));
  const text = await answer.text();
  if (!answer.ok) throw problemOf(answer.status, text, answer.headers.get("Retry-After"), key);
  return JSON.parse(text);
}

/** A form with files on its way, with `done(fraction)` as it goes; `stop()` gives it up. */
export function upload(address, form, done) {
  const { key } = session;
  const request = new XMLHttpRequest(); // fetch tells nothing of how far a body has gone
  const answer = new Promise((resolve, reject) => {
    request.upload.addEventListener("progress", (event) => event.lengthComputable && done(event.loaded / event.total));
    request.addEventListener("error", () => reject(brokenOff()));
    request.addEventListener("abort", () => reject(new DOMException("given up", "AbortError")));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(problemOf(request.status, request.responseText, request.getResponseHeader("Retry-After"), key));
    });
  });
  request.open("POST", address);
  for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
  request.send(form);
  return { answer, stop: () => request.abort() };
}

function authorization() {
  return session.key ? { Authorization: `Bearer ${session.key}` } : {};
}

function unreachable() {
  wire.dispatchEvent(new Event("unreachable"));
  return new Problem({ detail: "The server does not answer. Is `dubline api` (or `dubline up`) running?" });
}

function brokenOff() {
  wire.dispatchEvent(new Event("unreachable")); // whoever hears of it looks whether it is so
  return new Problem({ code: "broken_off", detail: "The connection ended before the files were through, and nothing was submitted. The server may be gone, or the files are larger than it takes (max_input_bytes)." });
}

function problemOf(status, text, after, key) {
  if (status === 401) wire.dispatchEvent(new CustomEvent("key-needed", { detail: key }));
  const told = { status, after: Math.max(1, Number(after) || 1) };
  try {
    const { code, detail, errors } = JSON.parse(text);
    return new Problem({ ...told, code, detail, errors });
  } catch {
    return new Problem({ ...told, code: "no_problem", detail: `The server answered ${status} and no reason; a proxy may stand between.` });
  }
}

/** Wait; a signal ends it. */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new DOMException("left", "AbortError"));
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(new DOMException("left", "AbortError")); }, { once: true });
  });
}

/** Do `step` again and again until it returns false; not while nobody looks, and not in haste where it fails. */
export async function repeat(step, seconds, signal) {
  for (;;) {
    let goesOn = true;
    try {
      if (!document.hidden) goesOn = await step();
    } catch (problem) {
      if (problem.name === "AbortError" || !["unreachable", "store_unavailable", "broker_unavailable"].includes(problem.code)) throw problem;
    }
    if (goesOn === false) return;
    await Promise.race([pause(typeof seconds === "function" ? seconds() : seconds, signal), seenAgain(signal)]);
  }
}

function seenAgain(signal) {
  return new Promise((resolve) => document.addEventListener("visibilitychange", () => document.hidden || resolve(), { signal }));
}
