// The columns of the CSV as a form. Which there are, their values and bounds are the server's; the words are ours.

import { ask } from "./client.js";
import { el } from "./elements.js";

const WORDS = {
  engine: ["Engine", "preview needs no GPU and no weights: a look before money is spent"],
  sync_mode: ["When lengths differ", "what the video does when the audio is longer, or shorter"],
  face: ["Face", "whose mouth is redrawn where there are several"],
  priority: ["Priority", ""],
  id: ["Name of the output", "else made of both files' names"],
  start: ["Start", "seconds into the video"],
  end: ["End", "seconds into the video; empty: all of it"],
  time_limit: ["Time limit", "minutes that one attempt may take; empty: the server's"],
  bbox_shift: ["Shift of the box", "musetalk-v1: the drawn half's line, in pixels"],
  extra_margin: ["Margin below the chin", "musetalk-v15, in pixels"],
  parsing_mode: ["Mask is cut", "musetalk-v15"],
  landmarks: ["Landmarks", "MuseTalk: mesh, or upstream's own dwpose"],
  evaluate: ["Measure the result", "sync and picture, with intervals and controls; takes longer"],
  mask: ["Mask", "MuseTalk: mesh, or upstream's own bisenet"],
};
const VALUES = {
  bounce: "bounce: to and fro",
  loop: "loop: from the start",
  freeze: "freeze: last frame",
  cut: "cut: to the shorter",
  silence: "silence: all video",
  left: "leftmost",
  right: "rightmost",
};
const FIRST = ["engine", "sync_mode", "face", "priority"];
const FILES = ["video", "audio"];

/** Columns by name, as JSON schema; the engine's default is what this server is set to. */
export async function columns(signal) {
  const [api, set] = await Promise.all([ask("/openapi.json", { signal }), ask("/options", { signal })]);
  const { engine, ...others } = api.paths["/jobs"].post.requestBody.content["application/json"].schema.properties;
  return { columns: { engine: { ...engine, default: set.engine }, ...others }, maxBytes: set.max_input_bytes };
}

/** The form's fields, and `values()`: those that are not left at their default. */
export function optionFields(schemas, changed) {
  const names = Object.keys(schemas).filter((name) => !FILES.includes(name));
  const inputs = Object.fromEntries(names.map((name) => [name, input(name, schemas[name], changed)]));
  const field = (name) => labelled(name, inputs[name]);
  const more = names.filter((name) => !FIRST.includes(name)).sort((a, b) => place(a) - place(b));
  return {
    node: el("div", {},
      el("div", { class: "fields" }, FIRST.filter((name) => inputs[name]).map(field)),
      el("details", { class: "more" }, el("summary", {}, "More options"), el("div", { class: "fields" }, more.map(field)))),
    values: () => Object.fromEntries(names.map((name) => [name, inputs[name].value.trim()]).filter(([, value]) => value !== "")),
  };
}

function place(name) {
  const found = Object.keys(WORDS).indexOf(name);
  return found < 0 ? Infinity : found;
}

function labelled(name, control) {
  const [title, hint] = WORDS[name] ?? [name.replaceAll("_", " "), ""];
  if (hint) control.setAttribute("aria-describedby", `hint-${name}`);
  return el("div", { class: "field" },
    el("label", { for: `option-${name}` }, title), control, hint ? el("small", { class: "hint", id: `hint-${name}` }, hint) : null);
}

/** Empty is the default: the server then decides, as for an empty cell. */
function input(name, schema, changed) {
  const attributes = { id: `option-${name}`, name, onchange: changed };
  const choices = choicesOf(schema);
  if (choices) return el("select", attributes, choices.map(([value, text]) => el("option", { value, selected: value === "" }, text)));
  const parts = schema.anyOf ?? [schema];
  const number = parts.find((each) => each.type === "number" || each.type === "integer");
  if (!number) return el("input", { ...attributes, type: "text", maxlength: schema.maxLength, dir: "auto" });
  return el("input", {
    ...attributes, type: "number", inputmode: "decimal", placeholder: schema.default ?? "",
    step: number.type === "integer" ? 1 : "any", min: number.minimum ?? number.exclusiveMinimum, max: number.maximum,
  });
}

function choicesOf(schema) {
  if (schema.type === "boolean") return [["", "no"], ["true", "yes"]];
  const listed = schema.enum ?? schema.anyOf?.find((each) => each.enum)?.enum;
  if (!listed) return null;
  const named = listed.map((value) => [value === schema.default ? "" : value, VALUES[value] ?? value]);
  const counts = schema.anyOf?.some((each) => each.type === "integer");
  return counts ? [...named, ...[0, 1, 2, 3, 4, 5].map((n) => [String(n), `number ${n} from the left`])] : named;
}
