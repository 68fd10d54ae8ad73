// The beginning: a new job at one side, what there is at the other.

import { el } from "./elements.js";
import { batchList } from "./batches.js";
import { submitForm } from "./submit.js";

export async function showHome(main, _, __, signal) {
  document.title = "Dubline";
  const [form, list] = await Promise.all([submitForm(signal), batchList(signal)]);
  if (signal.aborted) return;
  main.replaceChildren(el("div", { class: "home" }, form, list));
}
