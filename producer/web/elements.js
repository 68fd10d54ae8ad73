// Elements made of data. Text goes in as text: nothing here takes a string for markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (`onclick` and the like: listeners; null and false: left out) and children. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same of a drawing. */
export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) set(node, name, value);
  node.append(...children.flat(2).filter((each) => each !== null && each !== undefined && each !== false));
  return node;
}

function set(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (typeof value === "function") node.addEventListener(name.slice(2), value);
  else node.setAttribute(name, value === true ? "" : String(value));
}

/** Put text there, only where it changes: readers of screens hear of no change that is none. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A name that somebody gave, in whatever direction it is written. */
export function name(text, attributes = {}) {
  return el("bdi", { dir: "auto", ...attributes }, text);
}

/** Children of `parent`, one for each item, kept by key: what has the focus keeps it while others come and go. */
export function keyed(parent, items, key, make, update) {
  const before = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  const wanted = new Set(items.map(key));
  for (const [id, node] of before) if (!wanted.has(id)) node.remove();
  let place = parent.firstElementChild;
  for (const item of items) {
    const id = key(item);
    const node = before.get(id) ?? make(item);
    node.dataset.key = id;
    update(node, item);
    if (node === place) place = node.nextElementSibling;
    else parent.insertBefore(node, place);
  }
}

/** A list of facts: [what, value, note]; a value may be an element. */
export function facts(entries, attributes = {}) {
  const shown = entries.filter((each) => each && each[1] !== null && each[1] !== undefined && each[1] !== "");
  return el("dl", { class: "facts", ...attributes },
    shown.map(([what, value, note]) => el("div", {}, el("dt", {}, what), el("dd", {}, value, note ? el("small", {}, note) : null))));
}

/** Tell readers of screens, politely. */
export function announce(text) {
  say(document.getElementById("live"), text);
}

/** Ask before what cannot be taken back; true: go on. The browser keeps the focus inside. */
export function confirmed(title, text, yes) {
  const dialog = document.getElementById("ask");
  document.getElementById("ask-title").textContent = title;
  document.getElementById("ask-text").textContent = text;
  document.getElementById("ask-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((answer) => dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true }));
}
