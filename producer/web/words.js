// Numbers and states as people say them.

export const NOTHING = "–";

/** What a person is told of a state: its name, and what it means. */
export const STATES = {
  waiting: ["Waiting", "submitted, and not in the queue yet"],
  queued: ["Queued", "a worker takes it next"],
  later: ["Tried again later", "an attempt failed, and it was not the input's fault"],
  staging: ["Staging", "a worker fetches and probes the files"],
  preparing: ["Preparing", "faces are found and followed"],
  generating: ["Generating", "mouths are drawn"],
  evaluating: ["Evaluating", "the finished video is measured"],
  uploading: ["Uploading", "the video goes into the store"],
  stopping: ["Stopping", "it was cancelled, and stops within seconds"],
  done: ["Done", "the video is there"],
  failed: ["Failed", "there is no video"],
  cancelled: ["Cancelled", "somebody cancelled it"],
};
export const FINAL = ["done", "failed", "cancelled"];
export const GROUPS = {
  waiting: ["waiting", "queued", "later"],
  running: ["staging", "preparing", "generating", "evaluating", "uploading", "stopping"],
  done: ["done"],
  failed: ["failed"],
  cancelled: ["cancelled"],
};

/** The group that a state belongs to. */
export function groupOf(state) {
  return Object.keys(GROUPS).find((group) => GROUPS[group].includes(state));
}

const whole = new Intl.NumberFormat("en-GB");

export function count(number) {
  return whole.format(number);
}

/** "1 row", "2 rows". */
export function counted(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function decimal(value, places) {
  return value === null || value === undefined ? NOTHING : value.toFixed(places).replace("-", "−");
}

/** A length of time: "8.2 s", "1 min 05 s", "2 h 10 min". */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  if (seconds < 60) return `${seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60), rest = Math.round(seconds) % 60;
  if (minutes < 60) return `${minutes} min ${String(rest).padStart(2, "0")} s`;
  return `${count(Math.floor(minutes / 60))} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** A place in time: "1:05.40". */
export function clock(seconds, places = 2) {
  const parts = 10 ** places, all = Math.round(seconds * parts), rest = all % (60 * parts);
  const text = `${Math.floor(all / (60 * parts))}:${String(Math.floor(rest / parts)).padStart(2, "0")}`;
  return places ? `${text}.${String(rest % parts).padStart(places, "0")}` : text;
}

export function size(bytes) {
  const units = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]];
  const [unit, by] = units.find(([, each]) => bytes >= each) ?? ["bytes", 1];
  return `${by === 1 ? bytes : (bytes / by).toFixed(bytes / by < 10 ? 2 : 1)} ${unit}`;
}

/** Money with as many places as tell anything. */
export function money(amount, currency) {
  if (amount === null || amount === undefined) return NOTHING;
  return `${currency} ${amount === 0 ? "0" : amount < 1 ? amount.toFixed(4) : amount.toFixed(2)}`;
}

export function percent(part, total) {
  return total ? Math.floor((100 * part) / total) : 0;
}

/** "29.97" of "30000/1001". */
export function rate(fps) {
  const [over, under = 1] = fps.split("/").map(Number);
  return String(Number((over / under).toFixed(2)));
}

export function fpsOf(fps) {
  const [over, under = 1] = fps.split("/").map(Number);
  return over / under;
}

const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

export function when(iso) {
  return iso ? moment.format(new Date(iso)) : NOTHING;
}

/** The file's own name in an address; of what lies under its content's hash, the beginning of that. */
export function fileName(address) {
  return address.slice(address.lastIndexOf("/") + 1).replace(/^([0-9a-f]{12})[0-9a-f]{52}/, "$1…");
}

/** Where a person goes to see a job. */
export function jobHash(id, batch) {
  return `#/job/${id}${batch ? `?batch=${encodeURIComponent(batch)}` : ""}`;
}

export function batchHash(id, query = {}) {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  return `#/batch/${encodeURIComponent(id)}${given.size ? `?${given}` : ""}`;
}
